"""The command that repeats a registration."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from typing import Any

FIRST = ("fixed", "moving")
SETTINGS = ("refine", "refine_budget_s", "spacing_mm")


def command_of(report: Mapping[str, Any]) -> str | None:
    """The command line of `scripts.register` for the pair of a report; None for scans in memory.

    The weights are those that are installed: their hash is in the report.
    """
    files = report["files"]
    if not set(FIRST) <= files.keys():
        return None
    settings = {key: report["settings"].get(key) for key in SETTINGS}
    options = {key: files[key] for key in FIRST} | files | settings
    words = [f"--{key} {shlex.quote(str(value))}" for key, value in options.items() if value is not None]
    return " \\\n    ".join(["python -m scripts.register", *words, "--output_dir NEW_FOLDER"])
