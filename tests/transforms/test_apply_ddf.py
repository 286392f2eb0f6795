from __future__ import annotations

from typing import Any

import pytest
import torch
from monai.data import MetaTensor

from bundle.geometry import apply_affine
from bundle.transforms import MapLandmarksd, ResultsOnNativeGridsd, ResultsOnNetworkGridd
from tests.grids import make_affine, rotation, voxel_centres_mm, waves_vox

NETWORK_SHAPE, FIXED_SHAPE, MOVING_SHAPE = (16, 18, 20), (15, 12, 14), (18, 13, 17)


def hu(points_mm: torch.Tensor) -> torch.Tensor:
    """A moving scan that is a linear function of its world: every interpolation of it is exact."""
    return points_mm @ torch.tensor([2.0, -1.5, 1.0], dtype=torch.float64) - 500


@pytest.fixture
def pair() -> dict[str, Any]:
    """A registered pair: 60 mm apart, each with its own oblique grid inside the network grid."""
    fixed_affine = make_affine(NETWORK_SHAPE, (6.0, 5.5, 5.0), angles_deg=(10, 5, -8), centre_mm=(20, -30, -200))
    initial = rotation(2, 4, -3)
    initial[:3, 3] = torch.tensor([-8.0, 5.0, 60.0])
    moving_centre = apply_affine(initial, torch.tensor([[20.0, -30.0, -200.0]], dtype=torch.float64))[0].tolist()
    fixed = make_affine(
        FIXED_SHAPE, (4.0, 5.0, 4.5), angles_deg=(-20, 10, 0), flip=(-1, -1, 1), centre_mm=(20, -30, -200)
    )
    moving = make_affine(MOVING_SHAPE, (5.0, 6.0, 5.0), angles_deg=(0, -10, 30), centre_mm=tuple(moving_centre))
    scan = hu(voxel_centres_mm(MOVING_SHAPE, moving)).reshape(1, *MOVING_SHAPE).float()
    return {
        "pred": MetaTensor(waves_vox(NETWORK_SHAPE, amplitude_vox=1.2, periods=0.5)[0]),
        "image": torch.rand(2, *NETWORK_SHAPE, generator=torch.Generator().manual_seed(0)),
        "fixed_affine": fixed_affine,
        "moving_affine": initial @ fixed_affine,
        "fixed": MetaTensor(torch.zeros(1, *FIXED_SHAPE), affine=fixed),
        "moving": MetaTensor(scan, affine=moving),
        "fixed_landmarks": apply_affine(fixed, torch.tensor([[3.2, 4.0, 5.0], [10.0, 8.0, 9.9]], dtype=torch.float64)),
    }


def test_landmarks_follow_the_ddf_and_the_affines(pair: dict[str, Any]) -> None:
    at_voxel = torch.tensor([[3, 4, 5], [9, 14, 11]])
    pair["fixed_landmarks"] = apply_affine(pair["fixed_affine"], at_voxel.double())
    result = MapLandmarksd()(pair)
    ddf = torch.stack([torch.as_tensor(pair["pred"])[(slice(None), *index)] for index in at_voxel.tolist()])
    expected = apply_affine(pair["moving_affine"], at_voxel.double() + ddf.double())
    torch.testing.assert_close(result["mapped_landmarks"], expected, atol=1e-4, rtol=0)
    aligned = apply_affine(pair["moving_affine"], at_voxel.double())
    torch.testing.assert_close(result["aligned_landmarks"], aligned, atol=1e-9, rtol=0)
    assert result["mapped_landmarks"].dtype == torch.float64


def test_a_pair_without_landmarks_passes(pair: dict[str, Any]) -> None:
    del pair["fixed_landmarks"]
    assert MapLandmarksd()(pair).keys() == pair.keys()


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
    initial = pair["moving_affine"] @ torch.linalg.inv(pair["fixed_affine"])
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
    q = apply_affine(torch.linalg.inv(pair["fixed_affine"]), back)
    known = ((q > 0) & (q < torch.tensor(NETWORK_SHAPE) - 1)).all(dim=1)  # beyond it both extrapolate
    assert torch.quantile((there - points).norm(dim=1)[known], 0.95) < 0.1


def test_a_scan_without_overlap_is_air(pair: dict[str, Any]) -> None:
    pair["moving_affine"] = pair["moving_affine"].clone()
    pair["moving_affine"][2, 3] += 2000.0
    result = ResultsOnNativeGridsd()(pair)
    torch.testing.assert_close(result["warped"].as_tensor(), torch.full((1, *FIXED_SHAPE), -1000.0))


def test_the_jacobian_counts_the_initial_scaling_too(pair: dict[str, Any]) -> None:
    pair["pred"] = torch.zeros(3, *NETWORK_SHAPE)
    scaled = torch.diag(torch.tensor([1.1, 0.9, 1.2, 1.0], dtype=torch.float64))
    pair["moving_affine"] = scaled @ pair["moving_affine"]
    jacobian = ResultsOnNativeGridsd()(pair)["jacobian"].as_tensor()
    torch.testing.assert_close(jacobian, torch.full((1, *FIXED_SHAPE), 1.1 * 0.9 * 1.2), atol=1e-3, rtol=0)
