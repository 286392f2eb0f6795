from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pydicom
import pytest
import SimpleITK as sitk
import torch
from pydicom import Dataset
from pydicom.uid import CTImageStorage, ExplicitVRBigEndian, ImplicitVRLittleEndian

from bundle.geometry import apply_affine
from bundle.io import read_transform, transform_points
from bundle.io.dicom_objects.spatial_registration import read_spatial_registration, write_spatial_registration
from tests.deformable import read_deformable
from tests.grids import LPS, affine_to_sitk, make_affine, rotation, to_sitk, voxel_centres_mm, waves_vox
from tests.io.dicom_objects.conftest import FIXED_SHAPE, Series


def test_the_object_carries_points_as_the_field_does(fixed: Series, moving: Series, tmp_path: Path) -> None:
    """An affine field on an oblique grid: exact between the grid's points, too."""
    mapping = torch.tensor(
        [[1.1, 0.05, 0, 3.0], [-0.1, 0.9, 0.2, -7.0], [0.02, 0.1, 1.05, 40.0], [0, 0, 0, 1]], dtype=torch.float64
    )
    centres_mm = voxel_centres_mm(FIXED_SHAPE, fixed.affine)
    displacement_mm = (apply_affine(mapping, centres_mm) - centres_mm).T.reshape(3, *FIXED_SHAPE).float().numpy()
    path = tmp_path / "registration.dcm"
    write_spatial_registration(path, displacement_mm, fixed.affine.numpy(), fixed.slices, moving.slices)
    transform = read_deformable(path)
    inside = np.random.default_rng(0).uniform(0.1, np.array(FIXED_SHAPE) - 1.1, (50, 3))
    points_mm = apply_affine(fixed.affine, torch.from_numpy(inside))
    found = np.array([transform.TransformPoint(point) for point in points_mm.numpy() @ LPS])
    np.testing.assert_allclose(found, apply_affine(mapping, points_mm).numpy() @ LPS, atol=2e-3)


def test_the_object_names_both_frames_of_reference_and_all_images(
    fixed: Series, moving: Series, tmp_path: Path
) -> None:
    path = tmp_path / "registration.dcm"
    write_spatial_registration(path, np.zeros((3, *FIXED_SHAPE)), fixed.affine.numpy(), fixed.slices, moving.slices)
    registration = pydicom.dcmread(path)
    assert registration.SOPClassUID == "1.2.840.10008.5.1.4.1.1.66.3"
    assert registration.Modality == "REG"
    assert registration.FrameOfReferenceUID == fixed.slices[0].FrameOfReferenceUID
    (item,) = registration.DeformableRegistrationSequence
    assert item.SourceFrameOfReferenceUID == moving.slices[0].FrameOfReferenceUID
    assert [image.ReferencedSOPInstanceUID for image in item.ReferencedImageSequence] == [
        image.SOPInstanceUID for image in moving.slices
    ]
    assert len(registration.ReferencedSeriesSequence[0].ReferencedInstanceSequence) == FIXED_SHAPE[2]


SHAPE, CENTRE_MM = (9, 8, 11), (-20.0, 35.0, -1410.0)
SPACING_MM = (5.0, 7.0, 4.0)


def make_field(flip: tuple[int, int, int] = (1, 1, 1)) -> tuple[torch.Tensor, torch.Tensor]:
    """A field (3, H, W, D) of some millimetres, RAS, on an oblique grid (4, 4)."""
    affine = make_affine(SHAPE, SPACING_MM, angles_deg=(20, -15, 35), flip=flip, centre_mm=CENTRE_MM)
    return waves_vox(SHAPE, amplitude_vox=6.0)[0], affine


def points_inside(affine: torch.Tensor) -> torch.Tensor:
    inside = np.random.default_rng(1).uniform(0.01, np.array(SHAPE) - 1.01, (200, 3))
    return apply_affine(affine, torch.from_numpy(inside))


def by_sitk(transform: sitk.Transform, points_mm: torch.Tensor) -> np.ndarray:
    return np.array([transform.TransformPoint(point) for point in points_mm.numpy() @ LPS]) @ LPS


@pytest.mark.parametrize("flip", [(1, 1, 1), (-1, 1, 1), (1, -1, -1)])
def test_a_field_is_read_back_to_the_same_points(
    flip: tuple[int, int, int], fixed: Series, moving: Series, tmp_path: Path
) -> None:
    """Right- and left-handed grids, of which DICOM has the first only; fixed to moving, not the other way."""
    displacement_mm, affine = make_field(flip)
    path = tmp_path / "registration.dcm"
    write_spatial_registration(path, displacement_mm.numpy(), affine.numpy(), fixed.slices, moving.slices)
    points_mm = points_inside(affine)
    expected = by_sitk(sitk.DisplacementFieldTransform(to_sitk(displacement_mm, affine)), points_mm)
    np.testing.assert_allclose(by_sitk(read_deformable(path), points_mm), expected, atol=1e-3)
    found = transform_points(read_transform(path), points_mm)  # as scripts.apply reads it
    np.testing.assert_allclose(found, expected, atol=1e-3)
    assert np.linalg.norm(expected - points_mm.numpy(), axis=1).mean() > 3.0


def with_matrices(path: Path, before: torch.Tensor, after: torch.Tensor) -> None:
    """Add matrices (4, 4), RAS mm, and a first item for the registered frame itself, as other programs write it."""
    registration = pydicom.dcmread(path)
    (item,) = registration.DeformableRegistrationSequence
    for name, matrix in (("Pre", before), ("Post", after)):
        lps = np.diag([-1, -1, 1, 1]) @ matrix.numpy() @ np.diag([-1, -1, 1, 1])
        part = Dataset()
        part.FrameOfReferenceTransformationMatrix = [f"{value:.12g}"[:16] for value in lps.ravel()]
        part.FrameOfReferenceTransformationMatrixType = "RIGID"
        setattr(item, f"{name}DeformationMatrixRegistrationSequence", [part])
    own = Dataset()
    own.SourceFrameOfReferenceUID = registration.FrameOfReferenceUID
    own.RegistrationTypeCodeSequence = []
    registration.DeformableRegistrationSequence = [own, item]
    registration.save_as(path)


def test_matrices_apply_before_and_after_vectors_that_lie_on_the_registered_grid(
    fixed: Series, moving: Series, tmp_path: Path
) -> None:
    """PS3.3 C.20.3.1.1, decoded by hand: source = Post (Pre x + d(x)), d at x, not at Pre x."""
    displacement_mm, affine = make_field()
    path = tmp_path / "registration.dcm"
    write_spatial_registration(path, displacement_mm.numpy(), affine.numpy(), fixed.slices, moving.slices)
    before, after = rotation(3, 8, -5), rotation(-4, 2, 11)
    before[:3, 3], after[:3, 3] = torch.tensor([12.0, -3.0, 7.0]), torch.tensor([-40.0, 9.0, 21.0])
    with_matrices(path, before, after)
    grid = pydicom.dcmread(path).DeformableRegistrationSequence[1].DeformableRegistrationGridSequence[0]
    vectors = np.frombuffer(grid.VectorGridData, "<f4").reshape(*grid.GridDimensions[::-1], 3).astype(float)
    row, column = np.array(grid.ImageOrientationPatient, float).reshape(2, 3)
    index = np.array([[0, 0, 0], [3, 2, 1], [8, 7, 10], [1, 6, 9]])
    axes = np.column_stack([row, column, np.cross(row, column)]) * np.array(grid.GridResolution, float)
    registered = index @ axes.T + np.array(grid.ImagePositionPatient, float)
    shifts = vectors[index[:, 2], index[:, 1], index[:, 0]]
    flip = np.diag([-1.0, -1.0, 1.0, 1.0])
    pre, post = (flip @ matrix.numpy() @ flip for matrix in (before, after))
    source = (registered @ pre[:3, :3].T + pre[:3, 3] + shifts) @ post[:3, :3].T + post[:3, 3]
    found = transform_points(read_spatial_registration(path), torch.from_numpy(registered @ LPS))
    np.testing.assert_allclose(found.numpy() @ LPS, source, atol=1e-3)

    points_mm = points_inside(affine)  # between the points of the grid: SimpleITK
    field = sitk.DisplacementFieldTransform(to_sitk(displacement_mm, affine))
    linear = by_sitk(affine_to_sitk(before), points_mm)
    shifted = linear + by_sitk(field, points_mm) - points_mm.numpy()
    expected = by_sitk(affine_to_sitk(after), torch.from_numpy(shifted))
    np.testing.assert_allclose(transform_points(read_spatial_registration(path), points_mm), expected, atol=1e-3)


@pytest.mark.parametrize("syntax", [ImplicitVRLittleEndian, ExplicitVRBigEndian])
def test_other_transfer_syntaxes_give_the_same_points(
    syntax: pydicom.uid.UID, fixed: Series, moving: Series, tmp_path: Path
) -> None:
    displacement_mm, affine = make_field()
    path = tmp_path / "registration.dcm"
    write_spatial_registration(path, displacement_mm.numpy(), affine.numpy(), fixed.slices, moving.slices)
    points_mm = points_inside(affine)
    expected = transform_points(read_spatial_registration(path), points_mm)
    registration = Dataset.from_json(pydicom.dcmread(path).to_json())  # of no byte order
    registration.file_meta = pydicom.dcmread(path).file_meta
    if syntax == ExplicitVRBigEndian:
        grid = registration.DeformableRegistrationSequence[0].DeformableRegistrationGridSequence[0]
        grid.VectorGridData = np.frombuffer(grid.VectorGridData, "<f4").astype(">f4").tobytes()
    registration.file_meta.TransferSyntaxUID = syntax
    registration.save_as(path, enforce_file_format=True)
    np.testing.assert_array_equal(transform_points(read_spatial_registration(path), points_mm), expected)


def _second_grid(registration: Dataset) -> None:
    registration.DeformableRegistrationSequence = [*registration.DeformableRegistrationSequence] * 2


def _cut(registration: Dataset) -> None:
    grid = registration.DeformableRegistrationSequence[0].DeformableRegistrationGridSequence[0]
    grid.VectorGridData = grid.VectorGridData[:-12]


def _undefined(registration: Dataset) -> None:
    grid = registration.DeformableRegistrationSequence[0].DeformableRegistrationGridSequence[0]
    grid.VectorGridData = np.full(3, np.nan, "<f4").tobytes() + grid.VectorGridData[12:]


def _sheared(registration: Dataset) -> None:
    grid = registration.DeformableRegistrationSequence[0].DeformableRegistrationGridSequence[0]
    grid.ImageOrientationPatient = [1, 0, 0, 0.5, 1, 0]


def _singular(registration: Dataset) -> None:
    matrix = Dataset()
    matrix.FrameOfReferenceTransformationMatrix = [0] * 15 + [1]
    registration.DeformableRegistrationSequence[0].PreDeformationMatrixRegistrationSequence = [matrix]


def _no_origin(registration: Dataset) -> None:
    del registration.DeformableRegistrationSequence[0].DeformableRegistrationGridSequence[0].ImagePositionPatient


def _scan(registration: Dataset) -> None:
    registration.SOPClassUID = registration.file_meta.MediaStorageSOPClassUID = CTImageStorage


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (_second_grid, "expected one deformation grid, found 2 in 2 registrations"),
        (_cut, r"expected 9504 bytes of vectors for a grid of \[9, 8, 11\], found 9492"),
        (_undefined, r"found 1 undefined ones \(NaN\)"),
        (_sheared, "the direction is not orthonormal"),
        (_singular, "PreDeformationMatrixRegistrationSequence: expected an invertible 4 x 4 matrix"),
        (_no_origin, "incomplete deformation grid: .*ImagePositionPatient"),
        (_scan, "expected a DICOM Deformable Spatial Registration Storage object, found CT Image Storage"),
    ],
)
def test_what_is_no_complete_object_is_refused(
    damage: Callable[[Dataset], None], message: str, fixed: Series, moving: Series, tmp_path: Path
) -> None:
    displacement_mm, affine = make_field()
    path = tmp_path / "registration.dcm"
    write_spatial_registration(path, displacement_mm.numpy(), affine.numpy(), fixed.slices, moving.slices)
    registration = pydicom.dcmread(path)
    damage(registration)
    registration.save_as(path)
    with pytest.raises(ValueError, match=message):
        read_spatial_registration(path)
