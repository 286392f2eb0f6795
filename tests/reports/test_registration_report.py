from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from monai.data import MetaTensor

from bundle.quality import Evidence, Verdict
from bundle.reports import registration_report, report_title
from tests.recipes import make_recipe


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
        "verdict": Verdict("check", ("no lung found in 1 of the 2 scans",)),
        "evidence": Evidence(lungs_missing=1.0),
        "lncc_aligned": 0.25,
        "lncc_registered": torch.tensor(0.75),
        "folding_percent": 0.0,
        "sd_log_jacobian": 0.125,
        "time_s": 2.5,
        "initial_affine": torch.eye(4),
        "grid_to_fixed": torch.diag(torch.tensor([1.5, 1.5, 2.0, 1.0])),
        "fixed_lungs_found": True,
        "moving_lungs_found": torch.tensor(False),
        "fixed_sha256": "1",
        "moving_sha256": "2",
        "seconds_by_step": {"LoadImaged": 2.5},
    }


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    (tmp_path / "model.pt").write_bytes(b"weights")
    return tmp_path / "model.pt"


def test_every_stage_of_the_landmarks_is_scored_in_mm(pair: dict[str, Any], weights: Path) -> None:
    report = registration_report(pair, weights, make_recipe())
    scores = report["scores"]
    assert [scores[f"tre_{stage}mm"] for stage in ("none_", "aligned_", "")] == [5.0, 2.0, 1.0]
    assert report["lncc"] == {"aligned": 0.25, "registered": 0.75}
    assert (report["fixed"], report["moving"]) == ("inhale.nii.gz", "exhale.nii.gz")
    assert report["dicom_series"] == {"fixed": None, "moving": None}
    assert report["lungs_found"] == {"fixed": True, "moving": False}
    assert report["weights"] == {"file": "model.pt", "sha256": "w", "trained_on_this_pair": False}
    assert json.loads(json.dumps(report)) == report


def test_the_report_holds_what_a_repetition_needs(pair: dict[str, Any], weights: Path) -> None:
    given = {"fixed": "/data/inhale.nii.gz", "fixed_mask": "/data/lungs.mha", "landmark_system": "lps"}
    report = registration_report({**pair, "given": json.dumps(given)}, weights, make_recipe(), {"refine": "none"})
    assert report["files"] == given
    assert report["sha256"] == {"fixed": "1", "moving": "2"}
    assert report["settings"]["window_hu"] == {"low": -1000.0, "high": -100.0}
    assert report["settings"]["refine"] == "none"
    assert registration_report(pair, weights, make_recipe())["files"] == {}  # scans in memory


def test_dice_is_there_where_it_was_measured(pair: dict[str, Any], weights: Path) -> None:
    assert registration_report(pair, weights, make_recipe())["lung_dice"] == {}
    dice = {"none": 0.5, "aligned": 0.75, "registered": 0.875}
    assert registration_report({**pair, "lung_dice": dice}, weights, make_recipe())["lung_dice"] == dice


def test_the_title_is_one_line_of_all_that_counts(pair: dict[str, Any], weights: Path) -> None:
    title = report_title(registration_report(pair, weights, make_recipe()))
    stages = "TRE 5.00 → aligned 2.00 → 1.00 mm"
    assert title == f"case: check, LNCC 0.250 → 0.750, {stages}, folding 0.000 %, SDlogJ 0.125"


def test_what_was_not_measured_is_null(pair: dict[str, Any], weights: Path) -> None:
    for key in ("fixed_landmarks", "moving_landmarks"):
        pair.pop(key)
    report = registration_report(pair, weights, make_recipe())
    assert report["scores"]["tre_mm"] is None
    assert "TRE" not in report_title(report)


def test_a_pair_with_a_scan_of_the_recipe_was_trained_on(pair: dict[str, Any], weights: Path) -> None:
    report = registration_report({**pair, "moving_sha256": "m"}, weights, make_recipe())
    assert report["weights"]["trained_on_this_pair"] is True


def test_warnings_are_part_of_the_report(pair: dict[str, Any], weights: Path) -> None:
    assert registration_report(pair, weights, make_recipe())["warnings"] == ["no lung found in the moving scan"]
    assert registration_report({**pair, "moving_lungs_found": True}, weights, make_recipe())["warnings"] == []
    signs = {"warnings": ["HU + 1024"], "implausible": ["no geometry"]}
    warnings = registration_report({**pair, **signs, "moving_lungs_found": True}, weights, make_recipe())["warnings"]
    assert warnings == ["HU + 1024", "no geometry"]


def test_the_verdict_has_its_reasons_and_its_evidence(pair: dict[str, Any], weights: Path) -> None:
    report = registration_report(pair, weights, make_recipe())
    assert report["verdict"] == "check"
    assert report["reasons"] == ["no lung found in 1 of the 2 scans"]
    assert report["evidence"]["lungs_missing"] == 1.0
    assert report["evidence"]["lncc"] is None  # not measured


def test_the_series_of_a_dicom_folder_is_recorded(pair: dict[str, Any], weights: Path) -> None:
    pair["moving"].meta |= {"dicom_series": "1.2.3", "dicom_description": "gated", "dicom_phase": "30"}
    assert registration_report(pair, weights, make_recipe())["dicom_series"] == {
        "fixed": None,
        "moving": {"series": "1.2.3", "description": "gated", "phase": "30"},
    }
