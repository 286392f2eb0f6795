from __future__ import annotations

from pathlib import Path

import numpy as np
import pydicom
import pytest
import torch

from bundle.geometry import WorldTransform, apply_affine
from bundle.io import ImageHeader, read_transform, transform_points
from bundle.io.dicom_objects.results import registration_field, write_dicom_results
from bundle.io.dicom_objects.source import find_source
from tests.grids import FIXED_SHAPE, NETWORK_SHAPE, make_affine, make_case, waves_vox
from tests.io.dicom_objects.conftest import FIXED_SHAPE as SERIES_SHAPE
from tests.io.dicom_objects.conftest import Series


@pytest.mark.parametrize("flip", [(1, 1, 1), (-1, 1, 1)])
def test_the_field_on_its_own_grid_is_the_transform_everywhere_in_the_fixed_scan(flip: tuple[int, int, int]) -> None:
    case = make_case(flip)
    grid = ImageHeader("fixed", FIXED_SHAPE, case.fixed_affine)
    field_mm, affine = registration_field(case.transform, grid.corners_mm)
    vox = np.random.default_rng(0).uniform(0, np.array(FIXED_SHAPE) - 1, (300, 3))
    points_mm = apply_affine(case.fixed_affine, torch.from_numpy(vox))
    assert ImageHeader("field", tuple(field_mm.shape[1:]), affine).contains(points_mm, reach_vox=1e-6).all()
    at = apply_affine(torch.linalg.inv(affine), points_mm)
    low = at.floor().long().minimum(torch.tensor(field_mm.shape[1:]) - 2)
    found = points_mm.clone()
    for corner in torch.cartesian_prod(*[torch.arange(2)] * 3):  # trilinear interpolation by hand
        weights = torch.where(corner.bool(), at - low, 1 - (at - low)).prod(dim=1)
        i, j, k = (low + corner).T
        found += weights[:, None] * field_mm[:, i, j, k].T
    np.testing.assert_allclose(found, case.transform.transform_points_mm(points_mm), atol=2e-3)


def test_the_results_are_the_warped_series_and_an_object_that_repeats_the_transform(
    fixed: Series, moving: Series, tmp_path: Path
) -> None:
    """Between the voxels of the fixed scan, too, whose slices are further apart than the points of the field."""
    sources = find_source(fixed.folder), find_source(moving.folder)
    centre_mm = tuple(apply_affine(fixed.affine, torch.tensor([[3.5, 4.0, 4.5]]).double())[0].tolist())
    grid_to_fixed = make_affine(NETWORK_SHAPE, (1.2, 1.1, 1.3), angles_deg=(20, -15, 35), centre_mm=centre_mm)
    shift = torch.eye(4, dtype=torch.float64)
    shift[:3, 3] = torch.tensor([3.0, -2.0, 5.0])
    transform = WorldTransform(waves_vox(NETWORK_SHAPE, amplitude_vox=1.5), grid_to_fixed, shift @ grid_to_fixed)
    header = ImageHeader("fixed", SERIES_SHAPE, sources[0].affine)
    field = [part.numpy() for part in registration_field(transform, header.corners_mm)]
    displacement_mm = transform.displacement_mm(SERIES_SHAPE, header.affine).numpy()
    (tmp_path / "warped_dicom").mkdir()
    (tmp_path / "warped_dicom" / "old.dcm").touch()
    write_dicom_results(tmp_path, fixed.hu.astype(np.float32), displacement_mm, *field, *sources)
    slices = [pydicom.dcmread(file) for file in sorted((tmp_path / "warped_dicom").iterdir())]
    assert len(slices) == SERIES_SHAPE[2]  # the earlier file is gone
    np.testing.assert_array_equal(np.stack([slice_.pixel_array.T for slice_ in slices], axis=-1), fixed.hu)
    vox = np.random.default_rng(0).uniform(0, np.array(SERIES_SHAPE) - 1, (300, 3))
    points_mm = apply_affine(header.affine, torch.from_numpy(vox))
    found = transform_points(read_transform(tmp_path / "registration.dcm"), points_mm)
    assert (found - transform.transform_points_mm(points_mm)).norm(dim=1).max() < 2e-3
    assert (found - points_mm).norm(dim=1).min() > 1.0
