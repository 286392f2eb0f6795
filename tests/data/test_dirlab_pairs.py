from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from bundle.data.dirlab_pairs import case_names, convert_case, write_pairs
from bundle.io.dirlab import GRIDS, find_cases
from tests.io.test_dirlab import write_case

RAW = np.random.default_rng(0).integers(0, 2000, (6, 7, 8)).astype(np.int16)


@pytest.fixture
def converted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Folder with the small converted case copd1."""
    monkeypatch.setitem(GRIDS["COPDgene"], 1, (*RAW.shape, 0.75))
    write_case(tmp_path / "raw", "copd1", RAW)
    (tmp_path / "dirlab").mkdir()
    case = next(case for case in find_cases(tmp_path / "raw") if case.name == "copd1")
    for _ in range(2):
        convert_case(case, tmp_path / "dirlab" / "copd1")
    return tmp_path / "dirlab"


@pytest.mark.parametrize("section", ["training", "validation", "test"])
def test_a_converted_case_is_listed_in_its_section(converted: Path, section: str) -> None:
    chosen = {name: ["copd1"] if name == section else [] for name in ("training", "validation")}
    assert write_pairs(converted, **chosen) == ["copd1"]
    pairs = json.loads((converted / "pairs.json").read_text())
    assert {name: [pair["name"] for pair in listed] for name, listed in pairs.items() if listed} == {section: ["copd1"]}


def test_a_truncated_case_is_not_listed(converted: Path) -> None:
    (converted / "copd1" / "moving.nii.gz").write_bytes(b"cut off")
    assert write_pairs(converted, training=[], validation=[]) == []
    with pytest.raises(ValueError, match="no usable case: copd1; there are none"):
        write_pairs(converted, training=["copd1"], validation=[])


def test_names_come_as_text_or_sequence_and_unknown_ones_are_errors() -> None:
    assert case_names("copd1, 4dct10") == case_names(("copd1", "4dct10")) == ["copd1", "4dct10"]
    with pytest.raises(ValueError, match="no DIR-Lab case: copd11; expected names such as copd1 or 4dct10"):
        case_names("copd11")
