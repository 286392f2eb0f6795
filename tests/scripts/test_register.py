from __future__ import annotations

from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import torch
from monai.transforms import Orientation

from bundle.geometry import apply_affine
from bundle.io import check_header, read_image, read_transform, transform_points, write_image
from bundle.networks import RRN
from bundle.transforms import InitialAlignmentd, LoadImageSeriesd
from scripts.apply import apply
from scripts.cli import run
from scripts.register import register
from tests.formats.dicom.conftest import write_series
from tests.io.conftest import write_dicom_series
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
        "quality.json",
        "report.html",
        "report.json",
        "transform.h5",
    }


@pytest.mark.slow
def test_dicom_results_are_read_back_to_the_same_transform(small_phantoms: Path, tmp_path: Path) -> None:
    """The object alone warps the moving series as the ITK file does: to within the rounding of that file."""
    for key in ("fixed", "moving"):
        scan = Orientation(axcodes="LPS", labels=None)(read_image(small_phantoms / "test_00" / f"{key}.nii.gz"))
        voxels = scan[0].as_tensor().round().short().numpy() + 1024
        write_dicom_series(tmp_path / key, voxels, scan.affine, intercept=-1024, PatientID="17")
    scans = {key: str(tmp_path / key) for key in ("fixed", "moving")}
    out = tmp_path / "out"
    register(**scans, output_dir=str(out), write="dicom", spacing_mm=4.0)
    grid = check_header(tmp_path / "fixed")
    assert len(list((out / "warped_dicom").iterdir())) == grid.shape[2]
    vox = np.random.default_rng(0).uniform(0, np.array(grid.shape) - 1, (500, 3))
    points_mm = apply_affine(grid.affine, torch.from_numpy(vox))
    files = [out / name for name in ("transform.h5", "registration.dcm")]
    expected, found = (transform_points(read_transform(file), points_mm) for file in files)
    assert (expected - points_mm).norm(dim=1).mean() > 5.0
    assert (expected - found).norm(dim=1).max() <= 0.05
    warped = []
    for file in files:
        output = str(tmp_path / "warped.nii.gz")
        apply(str(file), scans["moving"], output, reference=scans["fixed"], image="linear")
        warped.append(nib.load(output).get_fdata())
    assert np.percentile(np.abs(warped[0] - warped[1]), 99) < 20.0  # HU, at edges: 0.03 mm
    assert np.abs(warped[0] - warped[1]).mean() < 1.0


def test_dicom_results_of_other_scans_are_refused_at_once(
    small_phantoms: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_series(tmp_path / "a")
    moving = str(small_phantoms / "test_00" / "moving.nii.gz")
    scans = ["--fixed", str(tmp_path / "a"), "--moving", moving, "--output_dir", str(tmp_path / "out")]
    with pytest.raises(SystemExit) as stopped:
        run(register, arguments=[*scans, "--write", "dicom"])
    assert stopped.value.code == 2
    reason = capsys.readouterr().err.splitlines()[-1]
    assert reason.startswith(f"{moving}: expected a DICOM folder or file, found another")
    assert not (tmp_path / "out").exists()


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


@pytest.mark.parametrize(("size_mm", "shown"), [("900", "900.0"), ("0.01", "0.01"), ("-2", "-2.0"), ("0", "0.0")])
def test_voxels_beyond_the_limits_are_refused_before_the_scans_are_looked_for(
    size_mm: str, shown: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["--fixed", "none.nii", "--moving", "none.nii", "--output_dir", str(tmp_path / "out")]
    with pytest.raises(SystemExit) as stopped:
        run(register, arguments=[*words, "--spacing_mm", size_mm])
    assert stopped.value.code == 2
    assert capsys.readouterr().err.splitlines() == [f"--spacing_mm: expected 0.5 to 10 mm, got {shown}"]
    assert not (tmp_path / "out").exists()


def test_smoothing_without_maps_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="--smooth_mm: expected --maps, the maps that are smoothed, got 2 mm without"):
        register("fixed.nii.gz", "moving.nii.gz", str(tmp_path / "out"), smooth_mm=2.0)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("smooth_mm", "reason"),
    [
        ("-1", "smooth_mm: expected 0 to 50 mm, got -1.0"),
        ("1e6", "smooth_mm: expected 0 to 50 mm, got 1000000.0"),
        ("nan", "--smooth_mm: expected a finite number, got 'nan'"),
    ],
)
def test_smoothing_out_of_range_is_refused_before_scans_are_read(
    smooth_mm: str,
    reason: str,
    small_phantoms: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(LoadImageSeriesd, "__call__", lambda *_: pytest.fail("the scans were read"))
    scan = str(small_phantoms / "test_00" / "fixed.nii.gz")
    words = ["--fixed", scan, "--moving", scan, "--output_dir", str(tmp_path / "out"), "--maps", "prm"]
    with pytest.raises(SystemExit) as stopped:
        run(register, arguments=[*words, "--smooth_mm", smooth_mm])
    assert stopped.value.code == 2
    assert capsys.readouterr().err.splitlines()[-1] == reason


def test_maps_of_scans_without_lungs_are_refused_before_the_alignment(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(InitialAlignmentd, "__call__", lambda *_: pytest.fail("the scans were aligned"))
    voxels = np.full((40, 40, 40), -1000.0)
    voxels[8:32, 8:32] = np.random.default_rng(0).normal(30, 20, (24, 24, 40))
    voxels[12:28, 12:28] -= 160  # fat, which the network sees
    water = str(tmp_path / "water.nii.gz")
    write_image(water, voxels, torch.diag(torch.tensor([6.0, 6.0, 6.0, 1.0])), dtype=np.int16)
    words = ["--fixed", water, "--moving", water, "--output_dir", str(tmp_path / "out")]
    with pytest.raises(SystemExit) as stopped:
        run(register, arguments=[*words, "--maps", "all"])
    assert stopped.value.code == 2
    reason = "lung function needs the lungs of both scans; none found in: fixed, moving"
    assert capsys.readouterr().err.splitlines()[-1].endswith(reason)
    assert not list((tmp_path / "out").iterdir())
