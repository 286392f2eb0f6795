from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest
import torch
from monai.data import MetaTensor

from bundle.reports import registration_report, report_title


@pytest.fixture
def pair() -> dict[str, Any]:
    fixed_mm = torch.tensor([[0.0, 0.0, 0.0], [10.0, 0.0, 0.0]], dtype=torch.float64)
    return {
        "name": "case",
        "fixed": MetaTensor(torch.zeros(1, 2, 3, 4), meta={"filename_or_obj": "inhale.nii.gz"}),
        "moving": MetaTensor(torch.zeros(1, 2, 3, 4), meta={"filename_or_obj": "exhale.nii.gz"}),
        "moving_affine": torch.eye(4, dtype=torch.float64),
        "fixed_landmarks": fixed_mm,
        "moving_landmarks": fixed_mm + torch.tensor([0.0, 3.0, 4.0]),
        "aligned_landmarks": fixed_mm + torch.tensor([0.0, 3.0, 2.0]),
        "mapped_landmarks": fixed_mm + torch.tensor([0.0, 3.0, 3.0]),
        "lncc_aligned": 0.25,
        "lncc_registered": torch.tensor(0.75),
        "folding_percent": 0.0,
        "sd_log_jacobian": 0.125,
        "time_s": 2.5,
        "initial_affine": torch.eye(4),
        "fixed_lungs_found": True,
        "moving_lungs_found": torch.tensor(False),
        "seconds_by_step": {"LoadImaged": 2.5},
    }


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    (tmp_path / "model.pt").write_bytes(b"weights")
    return tmp_path / "model.pt"


def test_every_stage_of_the_landmarks_is_scored_in_mm(pair: dict[str, Any], weights: Path) -> None:
    report = registration_report(pair, weights)
    scores = report["scores"]
    assert [scores[f"tre_{stage}mm"] for stage in ("none_", "aligned_", "")] == [5.0, 2.0, 1.0]
    assert report["lncc"] == {"aligned": 0.25, "registered": 0.75}
    assert (report["fixed"], report["moving"]) == ("inhale.nii.gz", "exhale.nii.gz")
    assert report["lungs_found"] == {"fixed": True, "moving": False}
    assert report["weights"] == {"file": "model.pt", "sha256": hashlib.sha256(b"weights").hexdigest()}
    assert json.loads(json.dumps(report)) == report


def test_dice_is_there_where_it_was_measured(pair: dict[str, Any], weights: Path) -> None:
    assert registration_report(pair, weights)["lung_dice"] == {}
    dice = {"none": 0.5, "aligned": 0.75, "registered": 0.875}
    assert registration_report({**pair, "lung_dice": dice}, weights)["lung_dice"] == dice


def test_the_title_is_one_line_of_all_that_counts(pair: dict[str, Any], weights: Path) -> None:
    title = report_title(registration_report(pair, weights))
    assert title == ("case: LNCC 0.250 → 0.750, TRE 5.00 → aligned 2.00 → 1.00 mm, folding 0.000 %, SDlogJ 0.125")


def test_what_was_not_measured_is_null(pair: dict[str, Any], weights: Path) -> None:
    for key in ("fixed_landmarks", "moving_landmarks"):
        pair.pop(key)
    report = registration_report(pair, weights)
    assert report["scores"]["tre_mm"] is None
    assert "TRE" not in report_title(report)
