from __future__ import annotations

from collections.abc import Callable

import pytest
import SimpleITK as sitk
import torch

from bundle.apply import invert_points, warp_labels, warp_scan
from bundle.geometry import WorldTransform
from bundle.io import check_header, invert_transform, itk_transform, read_image, transform_points
from tests.conftest import SyntheticPair
from tests.grids import affine_to_sitk, from_sitk, to_sitk


@pytest.fixture
def reference(synthetic_pair: Callable[..., SyntheticPair]) -> sitk.Transform:
    """The pair's smooth transform, composed in SimpleITK from its field and affines."""
    transform: WorldTransform = synthetic_pair().gentle_transform
    grid = transform.grid_to_fixed
    field_mm = torch.einsum("ab,bhwd->ahwd", grid[:3, :3], transform.ddf_vox[0].double())
    composite = sitk.CompositeTransform(3)
    composite.AddTransform(affine_to_sitk(transform.grid_to_moving @ torch.linalg.inv(grid)))
    composite.AddTransform(sitk.DisplacementFieldTransform(to_sitk(field_mm, grid)))
    return composite


def test_scans_labels_and_points_follow_a_transform_as_in_simpleitk(
    synthetic_pair: Callable[..., SyntheticPair], reference: sitk.Transform
) -> None:
    pair = synthetic_pair()
    grid = check_header(pair.item["fixed"])
    transform = itk_transform(pair.gentle_transform, grid.corners_mm)
    moved = [reference.TransformPoint(point) for point in (pair.fixed_mm * torch.tensor([-1.0, -1, 1])).tolist()]
    moved_mm = torch.tensor(moved, dtype=torch.float64) * torch.tensor([-1.0, -1, 1])
    torch.testing.assert_close(transform_points(transform, pair.fixed_mm), moved_mm, atol=2e-3, rtol=0)
    back_mm = invert_points(moved_mm, transform, invert_transform(transform))
    torch.testing.assert_close(back_mm, pair.fixed_mm, atol=5e-3, rtol=0)

    fixed, moving = sitk.ReadImage(pair.item["fixed"]), sitk.ReadImage(pair.item["moving"])
    inside = from_sitk(sitk.ReadImage(pair.item["fixed_mask"])) > 0  # the reference's field ends with its own grid
    warped = warp_scan(transform, read_image(pair.item["moving"]), grid, "linear", fill=-1000.0)
    expected = from_sitk(sitk.Resample(moving, fixed, reference, sitk.sitkLinear, -1000.0, sitk.sitkFloat64))
    torch.testing.assert_close(warped.double()[inside], expected[inside], atol=0.5, rtol=0)
    mask = sitk.ReadImage(pair.item["moving_mask"])
    carried = warp_labels(transform, read_image(pair.item["moving_mask"]), grid, one_hot=False)
    expected = from_sitk(sitk.Resample(mask, fixed, reference, sitk.sitkNearestNeighbor, 0.0, sitk.sitkFloat64))
    assert (carried.double() != expected)[inside].double().mean() < 1e-3  # ties of rounding
