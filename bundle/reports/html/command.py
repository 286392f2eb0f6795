"""The command that repeats a registration."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bundle.data import bundle_root

FIRST = ("fixed", "moving")
SETTINGS = ("refine", "refine_budget_s", "spacing_mm", "weights", "write", "maps", "smooth_mm")
RELEASED = Path(bundle_root()) / "models" / "model.pt"  # the default weights


def command_of(report: Mapping[str, Any]) -> str | None:
    """The command line of `scripts.register` for the pair of a report; None for scans in memory.

    Released weights are those that are installed: the hash of what was used is in the report.
    """
    files = {key: file for key, file in report["files"].items() if key != "displacement"}  # of training pairs
    if not set(FIRST) <= files.keys():
        return None
    settings = {key: report["settings"].get(key) for key in SETTINGS if key != "smooth_mm"}
    if settings["maps"]:
        settings["smooth_mm"] = report["settings"].get("smooth_mm")
    if settings["weights"] and Path(settings["weights"]) == RELEASED:
        settings["weights"] = None
    options = {key: files[key] for key in FIRST} | files | settings
    words = [f"--{key} {shlex.quote(_text(value))}" for key, value in options.items() if value not in (None, [], ())]
    return " \\\n    ".join(["python -m scripts.register", *words, "--output_dir NEW_FOLDER"])


def _text(value: Any) -> str:
    """A value as it is given on the command line: lists by commas."""
    return ",".join(map(str, value)) if isinstance(value, (list, tuple)) else str(value)
