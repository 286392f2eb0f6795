"""The environments that `bash scripts/hosts.sh NAME` builds, beside the tests' own."""

from __future__ import annotations

from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def python_of(name: str) -> Path:
    """The Python of an environment."""
    return ROOT / f".venv-{name}" / "bin" / "python"


def needs(name: str) -> pytest.MarkDecorator:
    """Skip a test where the environment is missing or half built."""
    return pytest.mark.skipif(
        not (ROOT / f".venv-{name}" / "built_from").exists(),
        reason=f"the environment {name!r} is absent and what needs it stays unchecked: bash scripts/hosts.sh {name}",
    )
