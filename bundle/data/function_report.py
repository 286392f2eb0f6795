"""What `bundle.function` wrote to a result folder, for whoever shows it."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from bundle.formats import read_json

FUNCTION_FOLDER, FUNCTION_REPORT = "lung_function", "lung_function.json"


class Figure(NamedTuple):
    """A picture (PNG) with its title and caption."""

    title: str
    path: Path
    caption: str


def function_figures(folder: str | Path) -> list[Figure]:
    """The pictures of lung function in a result folder, the summary first; none if there are none."""
    place = Path(folder) / FUNCTION_FOLDER
    if not (place / FUNCTION_REPORT).is_file():
        return []
    report = read_json(place / FUNCTION_REPORT, "report of lung function")
    return [Figure(figure["title"], place / figure["file"], figure["caption"]) for figure in report["figures"]]
