from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk

from scripts.benchmark.landmarks import landmark_errors
from tests.conftest import SyntheticPair

OFFSETS_MM = {"rrn": (1.0, 0.0, 0.0), "elastix": (0.0, 1.0, 0.0), "ants": (0.0, 0.0, 0.0)}
SLIP_MM = np.array([0.0, 0.0, 2.0])
BLUNDER_MM = np.array([30.0, 0.0, 0.0])


@pytest.fixture
def finished(synthetic_pair: Callable[..., SyntheticPair], tmp_path: Path) -> Path:
    """A benchmark of one pair whose scans match: each method's field is off by a constant of its own, the landmarks by
    2 mm along z, one of them by 30 mm."""
    item = dict(synthetic_pair().item)
    fixed_mm = np.loadtxt(item["fixed_landmarks"], delimiter=",", skiprows=1)
    moving_mm = fixed_mm + SLIP_MM
    moving_mm[0] = fixed_mm[0] + BLUNDER_MM
    item |= {"moving": item["fixed"], "moving_mask": item["fixed_mask"]}
    item["moving_landmarks"] = str(tmp_path / "moving.csv")
    np.savetxt(item["moving_landmarks"], moving_mm, delimiter=",", header="x,y,z", comments="")
    scan = sitk.ReadImage(item["fixed"])
    for method, offset_mm in OFFSETS_MM.items():
        field = sitk.Compose([sitk.Cast(scan, sitk.sitkFloat32) * 0 + component for component in offset_mm])
        folder = tmp_path / "chests" / item["name"] / method
        folder.mkdir(parents=True)
        sitk.WriteImage(field, str(folder / "displacement.nii.gz"))
    (tmp_path / "pairs.json").write_text(json.dumps({"test": [item]}))
    return tmp_path


def test_landmarks_off_by_2_mm_are_found_whatever_the_methods_err(
    finished: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    landmark_errors(str(finished / "pairs.json"), str(finished), "chests", methods="rrn,elastix,ants")
    lines = [line.strip() for line in capsys.readouterr().out.splitlines()]
    assert lines == [
        "chest: 11 of 12 landmarks",
        "rrn, elastix: 2.00 mm",
        "rrn, ants: 2.00 mm",
        "elastix, ants: 2.00 mm",
    ]


def test_a_field_that_is_missing_is_named(finished: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"convexadam.displacement\.nii\.gz: no such displacement field"):
        landmark_errors(str(finished / "pairs.json"), str(finished), "chests", methods="rrn,convexadam")
