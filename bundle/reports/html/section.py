"""Sections of `report.html` that are replaced when more is measured after the registration."""

from __future__ import annotations

from pathlib import Path

from bundle.io.atomic import atomic_path

QUALITY_SHEET, LUNG_FUNCTION = "quality", "lung function"


def replace_section(page: Path, name: str, section: str) -> None:
    """Replace a section of a `report.html` by other HTML, atomically.

    Raises: ValueError if the page has no place for it.
    """
    before, after = _around(page, name)
    with atomic_path(page) as path:
        path.write_text(f"{before}{section}{after}", encoding="utf-8")


def check_section(page: Path, name: str) -> None:
    """Raises: ValueError if the page has no place for a section."""
    _around(page, name)


def _around(page: Path, name: str) -> tuple[str, str]:
    """The page before and after a section, with the comments that mark it."""
    start, end = f"<!-- section {name} -->\n", f"\n<!-- end of {name} -->"
    before, found, rest = page.read_text(encoding="utf-8").partition(start)
    _, found_end, after = rest.partition(end)
    if not (found and found_end):
        raise ValueError(f"{page}: expected a report.html of scripts.register, found no section of {name} in it")
    return before + start, end + after
