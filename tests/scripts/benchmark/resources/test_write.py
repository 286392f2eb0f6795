from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import pytest

from scripts.benchmark.resources.write import write_rows


class Row(NamedTuple):
    name: str
    round: int
    time_s: float


@pytest.mark.parametrize(("numbers", "written"), [(".3f", "1234567.125"), (".6g", "1.23457e+06")])
def test_rows_become_lines_below_the_names_of_their_fields(numbers: str, written: str, tmp_path: Path) -> None:
    write_rows(tmp_path / "table", [Row("a, b", 7, 1234567.125)], "| a |\n", numbers=numbers)
    assert (tmp_path / "table.csv").read_text() == f'name,round,time_s\n"a, b",7,{written}\n'
    assert (tmp_path / "table.md").read_text() == "| a |\n"
    assert {path.name for path in tmp_path.iterdir()} == {"table.csv", "table.md"}
