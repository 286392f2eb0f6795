from __future__ import annotations

from pathlib import Path

import pytest

from bundle.networks import RRN
from scripts.cli import run
from scripts.register import register
from tests.formats.dicom.conftest import write_series
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
        "inverse_transform.h5",
        "jacobian.nii.gz",
        "moving_landmarks.csv",
        "moving_landmarks.mrk.json",
        "overview.png",
        "report.json",
        "transform.h5",
    }


def test_the_series_of_a_disc_are_listed_before_the_reason(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_series(tmp_path / "a", SeriesDescription="inhale", ConvolutionKernel="B60f")
    write_series(tmp_path / "b", SeriesDescription="exhale")
    scans = ["--fixed", str(tmp_path), "--moving", str(tmp_path), "--output_dir", str(tmp_path / "out")]
    with pytest.raises(SystemExit) as stopped:
        run(register, arguments=scans)
    assert stopped.value.code == 2
    *_, first, second, reason = capsys.readouterr().err.splitlines()
    assert "'inhale', CT, kernel B60f, 10 slices, 0.7 x 1.1 x 2.5 mm" in first
    assert "'exhale', CT, 10 slices, 0.7 x 1.1 x 2.5 mm" in second
    assert reason == (
        f"{tmp_path}: expected one CT series, found 2; choose one by a UID or a regular expression on the description "
        "(--fixed_series)"
    )
    with pytest.raises(SystemExit):
        run(register, arguments=[*scans, "--fixed_series", "inhale#30", "--moving_series", "exhale"])
    assert capsys.readouterr().err.endswith("has one phase: expected no phase in the choice, found '30'\n")
    assert not (tmp_path / "out").exists()
