"""What `bundle.function` wrote to a result folder, for whoever shows it."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

from bundle.formats import read_json

FUNCTION_FOLDER, FUNCTION_REPORT, FUNCTION_TABLE = "lung_function", "lung_function.json", "lung_function.csv"


class Figure(NamedTuple):
    """A picture (PNG) with its title and caption."""

    title: str
    path: Path
    caption: str


def function_report(folder: str | Path) -> dict[str, Any] | None:
    """The report of lung function in a result folder; None if there is none."""
    path = Path(folder) / FUNCTION_FOLDER / FUNCTION_REPORT
    return dict(read_json(path, "report of lung function")) if path.is_file() else None


def function_figures(folder: str | Path) -> list[Figure]:
    """The pictures of lung function in a result folder, the summary first; none if there are none."""
    place, report = Path(folder) / FUNCTION_FOLDER, function_report(folder)
    figures = [] if report is None else report["figures"]
    return [Figure(figure["title"], place / figure["file"], figure["caption"]) for figure in figures]
