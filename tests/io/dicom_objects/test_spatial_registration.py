from __future__ import annotations

from pathlib import Path

import numpy as np
import pydicom
import torch

from bundle.geometry import apply_affine
from bundle.io.dicom_objects.spatial_registration import write_spatial_registration
from tests.deformable import read_deformable
from tests.grids import LPS, voxel_centres_mm
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
