from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest
import torch
from monai.data import MetaTensor

from bundle.quality import RULES
from scripts.calibration import __main__ as calibration
from scripts.calibration.cases import Case
from scripts.calibration.damage import DAMAGES


def test_a_refused_pair_has_a_row_and_finished_rows_are_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One scan in HU, the other from 0 to 1."""
    voxels = torch.full((1, 24, 24, 24), -900.0)
    voxels[:, :, 12:] = 40.0
    hu = MetaTensor(voxels, affine=torch.diag(torch.tensor([3.0, 3.0, 3.0, 1.0], dtype=torch.float64)))

    def scans() -> tuple[MetaTensor, MetaTensor]:
        return DAMAGES["moving from 0 to 1"](hu, hu, np.random.default_rng(0))

    def never() -> tuple[MetaTensor, MetaTensor]:
        raise AssertionError

    path = tmp_path / "verdict.csv"
    for case in (Case("a", "failure: 0 to 1", scans), Case("a", "failure: 0 to 1", never)):
        monkeypatch.setattr("scripts.calibration.cases.list_cases", lambda _, case=case: [case])
        calibration.calibrate(str(path))
    (row,) = csv.DictReader(path.open(newline=""))
    assert (row["name"], row["kind"], row["verdict"]) == ("a", "failure: 0 to 1", "refused")
    assert "expected Hounsfield units" in row["reasons"]
    assert {rule.name for rule in RULES} <= set(row)
