from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
import SimpleITK as sitk
import torch

from bundle.geometry import apply_affine
from bundle.io import ImageHeader
from bundle.radiotherapy import dose_grid, read_dose, write_dose
from tests.grids import from_sitk, make_affine, to_sitk
from tests.radiotherapy.conftest import CENTRE_MM, Scan, write_dose_file

SHAPE, SPACING_MM = (9, 8, 7), (2.5, 3.0, 4.0)
AXIAL = make_affine(SHAPE, SPACING_MM, angles_deg=(0, 0, 180), centre_mm=CENTRE_MM)
OBLIQUE = make_affine(SHAPE, SPACING_MM, angles_deg=(12, -9, 160), centre_mm=CENTRE_MM)


def gray(seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).uniform(0, 70, SHAPE)


@pytest.mark.parametrize("bits", [16, 32])
@pytest.mark.parametrize("affine", [AXIAL, OBLIQUE], ids=["axial", "oblique"])
def test_a_dose_is_read_in_gray_on_its_grid(bits: int, affine: torch.Tensor, moving: Scan, tmp_path: Path) -> None:
    dose = read_dose(write_dose_file(tmp_path / "dose.dcm", moving, gray(), affine, bits))
    np.testing.assert_allclose(dose.values[0], gray(), atol=70 / 2**bits + 1e-5)
    np.testing.assert_allclose(dose.values.affine, affine, atol=1e-6)
    assert dose.kind == ("GY", "PHYSICAL", "PLAN")


@pytest.mark.parametrize("row_down", [False, True], ids=["normal +z", "normal -z"])
@pytest.mark.parametrize("style", ["distances", "z coordinates"])
@pytest.mark.parametrize("sign", [1, -1])
def test_both_styles_and_signs_of_frame_offsets_place_the_same_frames(
    style: str, sign: int, row_down: bool, moving: Scan, tmp_path: Path
) -> None:
    """Each frame has its dose as value: the place of a frame is read off the dose. PS3.3 C.8.8.3.2."""
    values = np.broadcast_to(np.arange(1.0, 8.0), SHAPE)
    orientation, normal = ([1, 0, 0, 0, -1, 0], -1) if row_down else ([1, 0, 0, 0, 1, 0], 1)
    start, steps = -917.0, 4.0 * sign * np.arange(7)
    z = start + (steps if style == "z coordinates" else normal * steps)
    offsets = [float(value) for value in (z if style == "z coordinates" else steps)]
    path = write_dose_file(
        tmp_path / "dose.dcm",
        moving,
        values,
        AXIAL,
        ImagePositionPatient=[10.0, -20.0, start],
        ImageOrientationPatient=orientation,
        GridFrameOffsetVector=offsets,
    )
    dose = read_dose(path)
    corner = apply_affine(dose.values.affine, torch.tensor([[0.0, 0, k] for k in range(7)], dtype=torch.float64))
    np.testing.assert_allclose(corner[:, 2], z, atol=1e-9)
    np.testing.assert_allclose(corner[:, :2], [[-10.0, 20.0]] * 7, atol=1e-9)
    np.testing.assert_allclose(dose.values[0, 0, 0], np.arange(1.0, 8.0), atol=1e-5)
    along_rows = apply_affine(dose.values.affine, torch.tensor([[0.0, 1.0, 0.0]], dtype=torch.float64))[0] - corner[0]
    np.testing.assert_allclose(along_rows, [0, 3.0 if row_down else -3.0, 0], atol=1e-9)


@pytest.mark.parametrize(
    ("attributes", "message"),
    [
        ({"PixelData": None}, "expected a dose grid, found none"),
        ({"DoseType": "ERROR"}, "expected DoseType PHYSICAL or EFFECTIVE, found 'ERROR'"),
        ({"DoseUnits": "CGY"}, "expected DoseUnits GY or RELATIVE, found 'CGY'"),
        ({"DoseGridScaling": None}, "expected a DoseGridScaling above 0, found None"),
        ({"GridFrameOffsetVector": None}, "incomplete geometry of the dose grid"),
        (
            {"GridFrameOffsetVector": [0, 4, 8, 12, 16, 20, 26]},
            "evenly spaced frames, found steps of 4 to 6 mm",
        ),
        ({"GridFrameOffsetVector": [0, 4, 8]}, "expected a frame offset for each of several frames, got 3 for 7"),
        ({"GridFrameOffsetVector": [5, 9, 13, 17, 21, 25, 29]}, "begins with 5, expected 0, or in axial planes the z"),
        ({"ImageOrientationPatient": [1, 0, 0, 0.2, 1, 0]}, "the direction is not orthonormal"),
        ({"PixelData": b"\0" * 50}, "the dose cannot be decoded, truncated or damaged"),
        ({"PixelRepresentation": 1, "PixelData": b"\xff" * 4 * 504}, "expected doses of at least 0, found -"),
    ],
)
def test_what_is_no_dose_on_a_grid_is_refused(
    attributes: dict[str, Any], message: str, moving: Scan, tmp_path: Path
) -> None:
    path = write_dose_file(tmp_path / "dose.dcm", moving, gray(), AXIAL, **attributes)
    with pytest.raises(ValueError, match=message):
        read_dose(path)


def test_relative_doses_and_histograms_are_told(moving: Scan, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = write_dose_file(tmp_path / "dose.dcm", moving, gray(), AXIAL, DoseUnits="RELATIVE", DVHSequence=[])
    with caplog.at_level(logging.WARNING):
        assert read_dose(path).kind[0] == "RELATIVE"
    assert "a relative dose" in caplog.text
    assert "dose-volume histograms are not carried" in caplog.text


@pytest.mark.filterwarnings("error::UserWarning:pydicom")
def test_a_dose_is_written_in_the_targets_frame_with_its_units_and_read_by_simpleitk(
    fixed: Scan, moving: Scan, tmp_path: Path
) -> None:
    """To half a step of the 32-bit scale."""
    attributes = {"DoseSummationType": "FRACTION", "DoseType": "EFFECTIVE", "TissueHeterogeneityCorrection": "IMAGE"}
    like = read_dose(write_dose_file(tmp_path / "dose.dcm", moving, gray(), AXIAL, **attributes))
    write_dose(tmp_path / "written.dcm", gray(1), OBLIQUE, like, fixed.source, "a comment")
    again = read_dose(tmp_path / "written.dcm")
    assert again.kind == ("GY", "EFFECTIVE", "FRACTION")
    assert again.data.TissueHeterogeneityCorrection == "IMAGE"
    np.testing.assert_allclose(again.values[0], gray(1), atol=1e-5)
    np.testing.assert_allclose(again.values.affine, OBLIQUE, atol=1e-6)
    data = pydicom.dcmread(tmp_path / "written.dcm")
    assert data.FrameOfReferenceUID == fixed.source.frame_of_reference
    assert (data.BitsAllocated, data.pixel_array.dtype) == (32, np.uint32)
    assert data.pixel_array.max() > 0.99 * 2**32  # the scale fits the dose
    assert data.DoseComment == "a comment"
    assert data.SeriesInstanceUID != like.data.SeriesInstanceUID
    image = sitk.ReadImage(str(tmp_path / "written.dcm"), sitk.sitkFloat64)
    reference = to_sitk(torch.from_numpy(gray(1)), OBLIQUE)
    np.testing.assert_allclose(image.GetOrigin(), reference.GetOrigin(), atol=1e-6)
    np.testing.assert_allclose(image.GetDirection(), reference.GetDirection(), atol=1e-6)
    np.testing.assert_allclose(image.GetSpacing(), SPACING_MM, atol=1e-6)
    np.testing.assert_allclose(from_sitk(image) * float(data.DoseGridScaling), gray(1), atol=1e-4)


def test_no_dose_is_written_as_zeros(fixed: Scan, moving: Scan, tmp_path: Path) -> None:
    like = read_dose(write_dose_file(tmp_path / "dose.dcm", moving, gray(), AXIAL))
    write_dose(tmp_path / "written.dcm", np.zeros(SHAPE), AXIAL, like, fixed.source, "")
    assert float(read_dose(tmp_path / "written.dcm").values.max()) == 0.0


def test_a_coarser_grid_covers_the_same_space() -> None:
    grid = ImageHeader("scan", SHAPE, OBLIQUE)
    assert dose_grid(grid) is grid
    coarse = dose_grid(grid, 5.0)
    assert coarse.shape == (5, 5, 6)
    for vox in ((-0.5, -0.5, -0.5), (1.0, 1.0, 1.0)):
        ends = torch.tensor([vox], dtype=torch.float64)
        if vox[0] > 0:
            fine_end, coarse_end = (torch.tensor([shape], dtype=torch.float64) - 0.5 for shape in (SHAPE, coarse.shape))
        else:
            fine_end = coarse_end = ends
        np.testing.assert_allclose(apply_affine(coarse.affine, coarse_end), apply_affine(OBLIQUE, fine_end), atol=1e-9)


def test_a_grid_of_too_many_voxels_is_refused_before_it_is_made() -> None:
    target = ImageHeader("scan", (40, 44, 24), make_affine((40, 44, 24), (2.0, 1.5, 3.0)))
    with pytest.raises(ValueError, match=r"spacing_mm: expected at most 500,000,000 voxels, got .* of 0\.01 mm"):
        dose_grid(target, 0.01)
