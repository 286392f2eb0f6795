from __future__ import annotations

from pathlib import Path

import pytest
import torch

from bundle.networks import RRN
from scripts.register import register


@pytest.mark.slow
def test_register_writes_everything_the_readme_promises(small_phantoms: Path, tmp_path: Path) -> None:
    case = small_phantoms / "test_00"
    torch.save(RRN().state_dict(), tmp_path / "weights.pt")
    register(
        fixed=str(case / "fixed.nii.gz"),
        moving=str(case / "moving.nii.gz"),
        out=str(tmp_path / "out"),
        fixed_landmarks=str(case / "fixed_landmarks.csv"),
        weights=str(tmp_path / "weights.pt"),
    )
    assert {path.name for path in (tmp_path / "out").iterdir()} == {
        "warped.nii.gz",
        "displacement.nii.gz",
        "inverse_displacement.nii.gz",
        "jacobian.nii.gz",
        "moving_landmarks.csv",
        "moving_landmarks.mrk.json",
        "overview.png",
        "report.json",
    }
