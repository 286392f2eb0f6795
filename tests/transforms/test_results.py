from __future__ import annotations

from typing import Any

import pytest
import torch

from bundle.geometry import WorldTransform, apply_affine
from bundle.transforms import (
    ResultsOnNativeGridsd,
    ResultsOnNetworkGridd,
    as_int16,
    inverse_transform,
    jacobian_on_grid,
    world_transform,
)
from tests.grids import make_affine, voxel_centres_mm
from tests.transforms.registered import FIXED_SHAPE, MOVING_SHAPE, NETWORK_SHAPE, hu


def test_on_the_network_grid_a_shift_by_one_voxel_shifts_by_one_voxel(pair: dict[str, Any]) -> None:
    pair["pred"] = torch.zeros(3, *NETWORK_SHAPE)
    pair["pred"][1] = 1.0
    result = ResultsOnNetworkGridd()(pair)
    torch.testing.assert_close(result["warped_net"][:, :, :-1], pair["image"][1:, :, 1:], atol=1e-5, rtol=0)
    torch.testing.assert_close(result["jacobian_net"], torch.ones(1, *NETWORK_SHAPE))


def test_on_the_network_grid_an_axis_scaling_has_its_jacobian(pair: dict[str, Any]) -> None:
    pair["pred"] = torch.zeros(3, *NETWORK_SHAPE)
    pair["pred"][2] = -0.3 * torch.arange(20.0)
    jacobian = ResultsOnNetworkGridd()(pair)["jacobian_net"]
    torch.testing.assert_close(jacobian, torch.full((1, *NETWORK_SHAPE), 0.7))


def test_the_warped_scan_is_the_moving_one_at_the_points_of_the_transform(pair: dict[str, Any]) -> None:
    result = ResultsOnNativeGridsd()(pair)
    assert {"displacement_mm", "inverse_displacement_mm", "aligned", "jacobian"}.isdisjoint(result)  # nobody asked
    # the scan is linear, so the warped value says where a voxel was read
    moved = world_transform(pair).transform_points_mm(voxel_centres_mm(FIXED_SHAPE, pair["fixed"].affine))
    warped = result["warped"].as_tensor()
    inside = warped != -1000
    assert inside.double().mean() > 0.8
    inner = inside & torch.nn.functional.avg_pool3d(inside.float()[None], 3, 1, 1)[0].eq(1.0)
    expected = hu(moved).reshape(1, *FIXED_SHAPE)
    torch.testing.assert_close(warped.double()[inner], expected[inner], atol=0.52, rtol=0)  # whole HU
    assert warped.dtype == torch.int16
    torch.testing.assert_close(result["warped"].affine, pair["fixed"].affine)


def test_the_inverse_leads_back(pair: dict[str, Any]) -> None:
    points = voxel_centres_mm(MOVING_SHAPE, pair["moving"].affine)
    back = inverse_transform(ResultsOnNativeGridsd()(pair)).transform_points_mm(points)
    there = world_transform(pair).transform_points_mm(back)
    q = apply_affine(torch.linalg.inv(pair["grid_to_fixed"]), back)
    inside_grid = ((q > 0) & (q < torch.tensor(NETWORK_SHAPE) - 1)).all(dim=1)  # outside, both extrapolate
    assert torch.quantile((there - points).norm(dim=1)[inside_grid], 0.95) < 0.1


def test_a_scan_without_overlap_is_air(pair: dict[str, Any]) -> None:
    pair["grid_to_moving"] = pair["grid_to_moving"].clone()
    pair["grid_to_moving"][2, 3] += 2000.0
    warped = ResultsOnNativeGridsd()(pair)["warped"].as_tensor()
    torch.testing.assert_close(warped, torch.full((1, *FIXED_SHAPE), -1000, dtype=torch.int16))


def test_the_jacobian_counts_the_initial_scaling_too(pair: dict[str, Any]) -> None:
    pair["pred"] = torch.zeros(3, *NETWORK_SHAPE)
    scaled = torch.diag(torch.tensor([1.1, 0.9, 1.2, 1.0], dtype=torch.float64))
    pair["grid_to_moving"] = scaled @ pair["grid_to_moving"]
    parts = [part for _, part in jacobian_on_grid(world_transform(pair), FIXED_SHAPE, pair["fixed"].affine)]
    jacobian = torch.cat(parts, dim=1)
    torch.testing.assert_close(jacobian, torch.full((1, *FIXED_SHAPE), 1.1 * 0.9 * 1.2), atol=1e-3, rtol=0)


@pytest.mark.parametrize("is_parallel", [True, False])
def test_the_jacobian_is_that_of_finite_differences_also_beside_the_network_grid(is_parallel: bool) -> None:
    """A linear ddf inside its grid; outside, where it is constant, only the derivatives along the border remain."""
    shape = (16, 18, 20)
    grid = make_affine(shape, (2.0, 2.0, 2.0), angles_deg=(10, 5, -8))
    ddf_vox = torch.einsum("ab,bhwd->ahwd", torch.tensor([[0.2, 0.1, 0], [0, -0.3, 0], [0.1, 0, 0.1]]), _voxels(shape))
    transform = WorldTransform(ddf_vox[None], grid, grid)
    turned = (10, 5, -8) if is_parallel else (0, 20, 0)
    fixed_shape = (30, 31, 32)
    affine = make_affine(fixed_shape, (1.5, 1.5, 1.6), angles_deg=turned, flip=(-1, 1, 1))
    parts = [part for _, part in jacobian_on_grid(transform, fixed_shape, affine)]
    points = voxel_centres_mm(fixed_shape, affine)
    step = 1e-2
    moved = [
        transform.transform_points_mm(points + step * axis) - transform.transform_points_mm(points - step * axis)
        for axis in torch.eye(3, dtype=torch.float64)
    ]
    expected = torch.linalg.det(torch.stack(moved, dim=-1) / (2 * step))
    q = apply_affine(torch.linalg.inv(grid), points)
    near_a_face = ((q.abs() < 1.1) | ((q - torch.tensor(shape) + 1).abs() < 1.1)).any(dim=1)  # there the ddf bends
    found = torch.cat(parts, dim=1).double().flatten()
    assert (~near_a_face).sum() > 5000
    torch.testing.assert_close(found[~near_a_face], expected[~near_a_face], atol=2e-3, rtol=0)


def test_numbers_are_clipped_not_wrapped_and_one_is_exact() -> None:
    slabs = [(slice(0, 1), torch.tensor([1.0, 500.0, -500.0, 0.5]).view(1, 1, 2, 2))]
    stored = as_int16(slabs, (1, 2, 2), step=1 / 256)
    assert stored.flatten().tolist() == [256, 32767, -32768, 128]


def _voxels(shape: tuple[int, int, int]) -> torch.Tensor:
    return torch.stack(torch.meshgrid(*[torch.arange(float(size)) for size in shape], indexing="ij"))
