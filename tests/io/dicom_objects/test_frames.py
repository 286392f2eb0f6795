from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from bundle.io.dicom_objects import check_frames, write_spatial_registration
from scripts.apply import apply
from tests.io.dicom_objects.conftest import FIXED_SHAPE, Series, make_series


@pytest.fixture
def registration(fixed: Series, moving: Series, tmp_path: Path) -> str:
    path = tmp_path / "registration.dcm"
    write_spatial_registration(path, np.zeros((3, *FIXED_SHAPE)), fixed.affine.numpy(), fixed.slices, moving.slices)
    return str(path)


@pytest.mark.parametrize("inverse", [False, True])
def test_scans_in_the_order_of_the_object_pass_and_swapped_ones_do_not(
    inverse: bool, registration: str, fixed: Series, moving: Series, caplog: pytest.LogCaptureFixture
) -> None:
    scans = {"fixed": (str(fixed.folder), None), "moving": (str(moving.folder), None)}
    swapped = {"fixed": scans["moving"], "moving": scans["fixed"]}
    right, wrong = (swapped, scans) if inverse else (scans, swapped)
    check_frames(registration, **right, inverse=inverse)
    assert not caplog.records
    advice = "without" if inverse else "with"
    with pytest.raises(ValueError, match=rf"registration\.dcm: .*the other direction \({advice} --inverse it fits\)"):
        check_frames(registration, **wrong, inverse=inverse)


def test_one_scan_tells_the_direction_of_a_file_without_a_frame(
    registration: str, moving: Series, tmp_path: Path
) -> None:
    (tmp_path / "labels.nii.gz").write_bytes(b"no DICOM")
    with pytest.raises(ValueError, match="the other direction"):
        check_frames(registration, fixed=(str(moving.folder), None), moving=(str(tmp_path / "labels.nii.gz"), None))


def test_other_transforms_and_scans_are_not_checked_and_a_third_frame_is_told(
    registration: str, fixed: Series, moving: Series, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    for name in ("scan.nii.gz", "transform.h5"):
        (tmp_path / name).write_bytes(b"no DICOM")
    files = (str(tmp_path / "scan.nii.gz"), None)
    check_frames(registration, fixed=files, moving=files)
    check_frames(tmp_path / "transform.h5", fixed=(str(moving.folder), None), moving=(str(fixed.folder), None))
    assert not caplog.records
    third = make_series(tmp_path / "third", FIXED_SHAPE, seed=2, SeriesDescription="third", PatientID="17")
    check_frames(registration, fixed=(str(third.folder), None), moving=(str(moving.folder), None))
    assert "does not name the frame of reference" in caplog.text


def test_apply_refuses_the_wrong_direction_and_writes_nothing(
    registration: str, fixed: Series, moving: Series, tmp_path: Path
) -> None:
    output = tmp_path / "out.nii.gz"
    with pytest.raises(ValueError, match=r"registration\.dcm: .*the other direction"):
        apply(registration, str(fixed.folder), str(output), reference=str(moving.folder), image="linear")
    assert not output.exists()
    apply(registration, str(moving.folder), str(output), reference=str(fixed.folder), image="linear")
    assert output.exists()
