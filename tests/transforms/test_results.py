from __future__ import annotations

from typing import Any

import torch

from bundle.geometry import apply_affine
from bundle.transforms import MapLandmarksd, ResultsOnNativeGridsd, ResultsOnNetworkGridd
from tests.grids import voxel_centres_mm
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


def test_on_the_fixed_grid_all_results_tell_of_one_transform(pair: dict[str, Any]) -> None:
    result = ResultsOnNativeGridsd()(MapLandmarksd()(pair))
    points = voxel_centres_mm(FIXED_SHAPE, pair["fixed"].affine)
    moved = points + result["displacement_mm"].as_tensor().double().flatten(1).T
    # the scan is linear, so the warped value says where a voxel was read
    inside = result["warped"].as_tensor() != -1000.0
    assert inside.double().mean() > 0.8
    expected = hu(moved).reshape(1, *FIXED_SHAPE)
    inner = inside & torch.nn.functional.avg_pool3d(inside.float()[None], 3, 1, 1)[0].eq(1.0)
    torch.testing.assert_close(result["warped"].as_tensor().double()[inner], expected[inner], atol=0.02, rtol=0)
    initial = pair["grid_to_moving"] @ torch.linalg.inv(pair["grid_to_fixed"])
    expected = hu(apply_affine(initial, points)).reshape(1, *FIXED_SHAPE)
    inner = result["aligned"].as_tensor() != -1000.0
    inner &= torch.nn.functional.avg_pool3d(inner.float()[None], 3, 1, 1)[0].eq(1.0)
    torch.testing.assert_close(result["aligned"].as_tensor().double()[inner], expected[inner], atol=0.02, rtol=0)
    for key in ("displacement_mm", "jacobian", "warped", "aligned"):
        assert result[key].shape[1:] == FIXED_SHAPE
        torch.testing.assert_close(result[key].affine, pair["fixed"].affine)


def test_the_inverse_on_the_moving_grid_leads_back(pair: dict[str, Any]) -> None:
    result = ResultsOnNativeGridsd()(pair)
    inverse_mm = result["inverse_displacement_mm"]
    assert inverse_mm.shape == (3, *MOVING_SHAPE)
    torch.testing.assert_close(inverse_mm.affine, pair["moving"].affine)
    points = voxel_centres_mm(MOVING_SHAPE, pair["moving"].affine)
    back = points + inverse_mm.as_tensor().double().flatten(1).T
    pair["fixed_landmarks"] = back
    there = MapLandmarksd()(pair)["mapped_landmarks"]
    q = apply_affine(torch.linalg.inv(pair["grid_to_fixed"]), back)
    inside_grid = ((q > 0) & (q < torch.tensor(NETWORK_SHAPE) - 1)).all(dim=1)  # outside, both extrapolate
    assert torch.quantile((there - points).norm(dim=1)[inside_grid], 0.95) < 0.1


def test_a_scan_without_overlap_is_air(pair: dict[str, Any]) -> None:
    pair["grid_to_moving"] = pair["grid_to_moving"].clone()
    pair["grid_to_moving"][2, 3] += 2000.0
    result = ResultsOnNativeGridsd()(pair)
    torch.testing.assert_close(result["warped"].as_tensor(), torch.full((1, *FIXED_SHAPE), -1000.0))


def test_the_jacobian_counts_the_initial_scaling_too(pair: dict[str, Any]) -> None:
    pair["pred"] = torch.zeros(3, *NETWORK_SHAPE)
    scaled = torch.diag(torch.tensor([1.1, 0.9, 1.2, 1.0], dtype=torch.float64))
    pair["grid_to_moving"] = scaled @ pair["grid_to_moving"]
    jacobian = ResultsOnNativeGridsd()(pair)["jacobian"].as_tensor()
    torch.testing.assert_close(jacobian, torch.full((1, *FIXED_SHAPE), 1.1 * 0.9 * 1.2), atol=1e-3, rtol=0)
