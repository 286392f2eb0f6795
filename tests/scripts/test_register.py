from __future__ import annotations

from pathlib import Path

import pytest

from bundle.networks import RRN
from scripts.register import register
from tests.recipes import save_weights


@pytest.mark.slow
def test_register_writes_everything_the_readme_promises(small_phantoms: Path, tmp_path: Path) -> None:
    case = small_phantoms / "test_00"
    weights = save_weights(RRN(), tmp_path / "weights.pt", network={"_target_": "bundle.networks.RRN"})
    register(
        fixed=str(case / "fixed.nii.gz"),
        moving=str(case / "moving.nii.gz"),
        output_dir=str(tmp_path / "out"),
        fixed_landmarks=str(case / "fixed_landmarks.csv"),
        weights=str(weights),
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
