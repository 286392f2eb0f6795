"""Registered pairs for the tests of `report.html`: small, with known fields, as they are when they are written."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from torch import Tensor

from bundle.quality import AssessRegistrationd
from bundle.reports import registration_report
from bundle.reports.html import write_report_page
from bundle.transforms import ResultsOnNativeGridsd
from tests.quality.test_evidence import make_pair
from tests.quality.test_vessel_residual import vessels
from tests.recipes import make_recipe

SPACING_MM = (2.0, 2.5, 3.0)
GIVEN = {"fixed": "/data/inhale.nii.gz", "moving": "/data/exhale.nii.gz"}


def make_registered(
    shift_vox: tuple[float, float, float] = (0.0, 0.0, 2.0), *, with_landmarks: bool = False, **changes: Any
) -> dict[str, Any]:
    """A pair of vessels that moved by whole voxels, registered by that shift, after `AssessRegistrationd`."""
    moving = vessels().roll([round(value) for value in shift_vox], dims=(0, 1, 2))
    pair = make_pair(moving, shift_vox)
    for key in ("fixed", "moving"):
        pair[key] = pair[key] * 900 - 1000
        pair[key].meta["filename_or_obj"] = GIVEN[key]
    pair = ResultsOnNativeGridsd()(pair)  # again: HU are whole numbers
    pair |= {
        "name": "case",
        "given": json.dumps(GIVEN),
        "moving_affine": pair["moving"].affine,
        "sd_log_jacobian": 0.125,
        "time_s": 12.5,
        "fixed_sha256": "f" * 64,
        "moving_sha256": "m" * 64,
        "seconds_by_step": {"Network": 1.5},
        "folding_percent": 0.0,
    }
    if with_landmarks:
        pair |= landmarks()
    return AssessRegistrationd()(pair) | changes


def landmarks() -> dict[str, Tensor]:
    """Landmarks 1, 2, 3 and 4 mm from where they should be, and 10 mm before registration."""
    fixed_mm = torch.arange(12.0, dtype=torch.float64).view(4, 3)
    error = torch.tensor([[1.0, 0, 0], [0, 2.0, 0], [0, 0, 3.0], [0, 0, -4.0]], dtype=torch.float64)
    return {
        "fixed_landmarks": fixed_mm,
        "moving_landmarks": fixed_mm,
        "mapped_landmarks": fixed_mm + error,
        "aligned_landmarks": fixed_mm + torch.tensor([10.0, 0, 0]),
    }


def write_page(folder: Path, pair: dict[str, Any], **changes: Any) -> dict[str, Any]:
    """Write `report.json`, `overview.png`, `quality.json` and `report.html`, and return the report."""
    folder.mkdir(parents=True, exist_ok=True)
    report = registration_report(pair, folder / "model.pt", make_recipe(), {"refine": "field", "spacing_mm": 1.5})
    report |= changes
    Image.new("RGB", (60, 90), "teal").save(folder / "overview.png")
    write_report_page(pair, folder, report)
    (folder / "report.json").write_text(json.dumps(report))
    return report
