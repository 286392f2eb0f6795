from __future__ import annotations

import re
import shutil
from pathlib import Path

import numpy as np
import pydicom
import pytest
import SimpleITK as sitk
from pydicom.uid import generate_uid

from bundle.formats.dicom import find_volume
from tests.formats.dicom.conftest import IDENTITY, SHAPE, edit, shift, write_series
from tests.io.conftest import make_affine


def simple_itk(folder: Path) -> sitk.Image:
    reader = sitk.ImageSeriesReader()
    reader.SetFileNames(reader.GetGDCMSeriesFileNames(str(folder)))
    return reader.Execute()


@pytest.mark.parametrize("angles_deg", [(0, 0, 180), (0, 0, 0), (180, 0, 0), (0, 90, 0), (20, -15, 35), (-70, 40, 160)])
def test_the_grid_is_that_of_simple_itk(tmp_path: Path, angles_deg: tuple[float, float, float]) -> None:
    """Axial, turned to the other patient positions, sagittal and oblique."""
    write_series(tmp_path, affine=make_affine(angles_deg=angles_deg))
    grid, expected = find_volume(tmp_path).grid, simple_itk(tmp_path)
    assert tuple(grid.size) == expected.GetSize() == SHAPE
    np.testing.assert_allclose(grid.spacing, expected.GetSpacing(), rtol=1e-6)
    np.testing.assert_allclose(grid.direction, np.reshape(expected.GetDirection(), (3, 3)), atol=1e-6)
    np.testing.assert_allclose(grid.origin, expected.GetOrigin(), atol=1e-6)


def test_slices_go_along_their_normal_whatever_the_names_and_numbers(tmp_path: Path) -> None:
    files = write_series(tmp_path)
    for index, file in enumerate(files):
        edit(file, InstanceNumber=len(files) - index)
        file.rename(file.with_name(f"IM{(index * 7) % 10}"))
    volume = find_volume(tmp_path)
    heights = [frame.position[2] for frame in volume.frames if frame.position]
    assert heights == sorted(heights)
    np.testing.assert_allclose(volume.grid.direction[:, 2], [0, 0, 1], atol=1e-9)
    assert {Path(frame.file).suffix for frame in volume.frames} == {""}


@pytest.mark.parametrize("step_mm", [2.5, 0.7, 0.625, 0.3, 0.05])
@pytest.mark.parametrize("angles_deg", [(0, 0, 180), (20, -15, 35)])
def test_positions_rounded_to_a_tenth_of_a_millimetre_are_accepted(
    tmp_path: Path, step_mm: float, angles_deg: tuple[float, float, float]
) -> None:
    affine = make_affine(angles_deg=angles_deg)
    affine[:3, 2] *= step_mm / 2.5
    digits = 1 if step_mm >= 0.3 else 2
    for file in write_series(tmp_path, affine=affine):
        position = pydicom.dcmread(file).ImagePositionPatient
        edit(file, ImagePositionPatient=[round(float(value), digits) for value in position])
    grid = find_volume(tmp_path).grid
    assert grid.spacing[2] == pytest.approx(step_mm, abs=0.12 / 9)
    np.testing.assert_allclose(grid.direction.T @ grid.direction, np.eye(3), atol=1e-9)


def test_missing_slices_are_counted_and_their_neighbours_named(tmp_path: Path) -> None:
    files = write_series(tmp_path)
    for index in (4, 5, 8):
        files[index].unlink()
    message = (
        "3 missing slices: expected 2.500 mm, found 7.500 mm between 003.dcm at (153.8, -120.4, -1427) mm and "
        "006.dcm at (153.8, -120.4, -1419.5) mm; 5.000 mm between 007.dcm"
    )
    with pytest.raises(ValueError, match=re.escape(f"{tmp_path}: {message}")):
        find_volume(tmp_path)


@pytest.mark.parametrize("index", [1, 5, 8])
@pytest.mark.parametrize("step_mm", [2.5, 0.5, 0.05])
def test_a_single_missing_slice_is_found_anywhere(tmp_path: Path, index: int, step_mm: float) -> None:
    affine = make_affine()
    affine[:3, 2] *= step_mm / 2.5
    write_series(tmp_path, affine=affine)[index].unlink()
    with pytest.raises(ValueError, match=rf"1 missing slice: expected {step_mm:.3f} mm, found {2 * step_mm:.3f} mm"):
        find_volume(tmp_path)


def test_a_copy_of_a_slice_is_named(tmp_path: Path) -> None:
    files = write_series(tmp_path / "a")
    (tmp_path / "b").mkdir()
    shutil.copy(files[3], tmp_path / "b" / "again")
    with pytest.raises(
        ValueError,
        match=r"1 doubled slice: expected one slice at each position, found a/003\.dcm at .* mm and b/again at "
        r".* mm \(copies of the same image\)",
    ):
        find_volume(tmp_path)


def test_another_image_at_the_position_of_a_slice_is_named(tmp_path: Path) -> None:
    files = write_series(tmp_path)
    shutil.copy(files[3], tmp_path / "more.dcm")
    edit(tmp_path / "more.dcm", SOPInstanceUID=generate_uid())
    shift(tmp_path / "more.dcm", [0, 0, 0.1])
    with pytest.raises(ValueError, match=r"1 doubled slice: .* found 003\.dcm at .* mm and more\.dcm at [^(]*\([^(]*$"):
        find_volume(tmp_path)


def test_uneven_distances_are_refused(tmp_path: Path) -> None:
    files = write_series(tmp_path)
    shift(files[4], [0, 0, 0.8])
    with pytest.raises(ValueError, match=r"unevenly spaced slices: expected 2\.500 mm \(the median\), found 3\.300 mm"):
        find_volume(tmp_path)


@pytest.mark.parametrize("tilt_deg", [0.6, 5.0, -12.0])
def test_a_gantry_tilt_is_named_with_its_angle(tmp_path: Path, tilt_deg: float) -> None:
    for index, file in enumerate(write_series(tmp_path)):
        shift(file, [0, 2.5 * index * np.tan(np.radians(tilt_deg)), 0])
    with pytest.raises(
        ValueError, match=rf"gantry tilt of {abs(tilt_deg):.1f} degrees: .* from 000\.dcm at .* to 009\.dcm.*; resample"
    ):
        find_volume(tmp_path)


def test_a_tilt_whose_slices_are_tilted_too_is_found(tmp_path: Path) -> None:
    """As scanners write it: the table moves along z, the planes lean."""
    for index, file in enumerate(write_series(tmp_path, affine=make_affine(angles_deg=(10, 0, 180)))):
        origin = pydicom.dcmread(file).ImagePositionPatient
        edit(file, ImagePositionPatient=[float(origin[0]), -120.4, -1434.5 + 2.5 * index])
    with pytest.raises(ValueError, match=r"gantry tilt of 10\.0 degrees"):
        find_volume(tmp_path)


def test_slices_that_jump_aside_are_no_tilt(tmp_path: Path) -> None:
    files = write_series(tmp_path)
    for file in files[6:]:
        shift(file, [20, 0, 0])
    with pytest.raises(
        ValueError, match=r"shifted slices: .* found a shift of 20\.00 mm in the plane between 005\.dcm .* and 006\.dcm"
    ):
        find_volume(tmp_path)


@pytest.mark.parametrize(
    ("attributes", "message"),
    [
        (
            {"PixelSpacing": [1.1, 0.71]},
            r"002\.dcm at .*: expected the pixel spacing, mm of 000\.dcm .*, found \(0\.71",
        ),
        ({"ImageOrientationPatient": [1, 0, 0, 0, 0, 1]}, r"002\.dcm .*: expected the orientation of 000\.dcm"),
        (
            {"Columns": 9, "Rows": 8},
            r"002\.dcm .*: expected the columns and rows of 000\.dcm.*\(8, 9\), found \(9, 8\)",
        ),
        ({"ImagePositionPatient": None}, r"002\.dcm: expected ImagePositionPatient, found none"),
        ({"PixelSpacing": None}, r"002\.dcm .*: expected PixelSpacing, found none"),
    ],
)
def test_a_slice_that_differs_is_named(tmp_path: Path, attributes: dict, message: str) -> None:
    edit(write_series(tmp_path)[2], **attributes)
    with pytest.raises(ValueError, match=message):
        find_volume(tmp_path)


def test_axes_that_are_not_perpendicular_are_refused(tmp_path: Path) -> None:
    write_series(tmp_path, ImageOrientationPatient=[1, 0, 0, 0.1, 1, 0])
    with pytest.raises(
        ValueError, match=r"000\.dcm .*: expected perpendicular unit vectors in ImageOrientationPatient"
    ):
        find_volume(tmp_path)


def test_the_affine_of_the_written_series_is_found(tmp_path: Path) -> None:
    write_series(tmp_path)
    grid = find_volume(tmp_path).grid
    lps = np.diag([-1, -1, 1, 1]) @ IDENTITY.numpy()
    np.testing.assert_allclose(grid.direction * grid.spacing, lps[:3, :3], atol=1e-6)
    np.testing.assert_allclose(grid.origin, lps[:3, 3], atol=1e-6)


@pytest.mark.parametrize(
    ("spacing", "message"),
    [
        ([0, 0.7], r"expected a spacing above 0 mm on every axis, got \(0\.7, 0, 2\.5\)"),
        ([1.1, -0.7], r"expected a spacing above 0 mm on every axis, got \(-0\.7, 1\.1, 2\.5\)"),
        ([1100, 700], r"expected a spacing of 0\.001 to 1000 mm, got \(700, 1100, 2\.5\)"),
    ],
)
def test_a_spacing_that_makes_no_sense_is_refused(tmp_path: Path, spacing: list[float], message: str) -> None:
    write_series(tmp_path, PixelSpacing=spacing)
    with pytest.raises(ValueError, match=message):
        find_volume(tmp_path)
