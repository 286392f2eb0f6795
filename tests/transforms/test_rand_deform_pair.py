from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from monai.networks.blocks import Warp
from torch import Tensor

from bundle.transforms import RandDeformPaird
from bundle.transforms.rand_deform_pair import deform_pair, mirror_pair

SHAPE = (24, 28, 32)
INNER = (..., slice(6, -6), slice(6, -6), slice(6, -6))


def texture(seed: int) -> Tensor:
    noise = torch.rand(1, 1, 6, 7, 8, generator=torch.Generator().manual_seed(seed))
    return F.interpolate(noise, size=SHAPE, mode="trilinear", align_corners=True)[0]


def make_pair() -> dict[str, Tensor]:
    """A moving scan, and the fixed scan made by warping it with the ground-truth ddf."""
    ground_truth = torch.ones(4, *SHAPE)
    ground_truth[:3] = torch.tensor([2.0, -1.0, 1.5]).view(3, 1, 1, 1)
    ground_truth[0] += 0.05 * torch.arange(SHAPE[2])
    moving = texture(0)
    fixed = Warp(padding_mode="border")(moving[None], ground_truth[None, :3])[0]
    return {
        "fixed_net": fixed,
        "mask_net": (texture(1) > 0.4).float(),
        "moving_net": moving,
        "ground_truth_net": ground_truth,
    }


def mismatch(pair: dict[str, Tensor]) -> Tensor:
    warped = Warp(padding_mode="border")(pair["moving_net"][None], pair["ground_truth_net"][None, :3])[0]
    return (warped - pair["fixed_net"])[INNER].abs().mean()


def make(**options: float) -> RandDeformPaird:
    ranges = {"shift_vox": 2.0, "linear": 0.05, "wave_vox": 1.5} | options
    return RandDeformPaird(["fixed_net", "mask_net"], **ranges)


@pytest.mark.parametrize("seed", range(6))
def test_the_ground_truth_field_still_maps_the_pair(seed: int) -> None:
    """MONAI's Warp with the new ground-truth field gives the new fixed scan, up to double interpolation."""
    transform = make()
    transform.set_random_state(seed=seed)
    before = make_pair()
    after = transform(before)
    assert (after["fixed_net"] - before["fixed_net"]).abs().mean() > 0.01
    assert mismatch(after) < 0.012
    assert mismatch(after | {"ground_truth_net": before["ground_truth_net"]}) > 2 * mismatch(after)


def test_a_shift_is_added_to_a_constant_field() -> None:
    ground_truth = torch.ones(4, *SHAPE)
    shift_vox = torch.tensor([1.0, -2.0, 3.0]).view(3, 1, 1, 1).expand(3, *SHAPE)
    (fixed,), moved = deform_pair([texture(0)], ground_truth, shift_vox)
    torch.testing.assert_close(moved[:3], shift_vox + 1)
    torch.testing.assert_close(fixed[:, :-1, 2:, :-3], texture(0)[:, 1:, :-2, 3:])


def test_a_missing_ground_truth_field_stays_missing() -> None:
    _, moved = deform_pair([texture(0)], torch.zeros(4, *SHAPE), torch.ones(3, *SHAPE))
    assert not moved.any()


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_a_mirrored_pair_moves_the_other_way_along_that_axis_alone(axis: int) -> None:
    pair = make_pair()
    (fixed, moving), ground_truth = mirror_pair([pair["fixed_net"], pair["moving_net"]], pair["ground_truth_net"], axis)
    assert mismatch({"fixed_net": fixed, "moving_net": moving, "ground_truth_net": ground_truth}) < 1e-4
    sign = torch.ones(4)
    sign[axis] = -1
    torch.testing.assert_close(ground_truth.mean(dim=(1, 2, 3)), sign * pair["ground_truth_net"].mean(dim=(1, 2, 3)))


def test_the_same_seed_draws_the_same_and_the_moving_scan_is_mirrored_at_most() -> None:
    results = []
    for _ in range(2):
        transform = make()
        transform.set_random_state(seed=3)
        results.append(transform(make_pair()))
    for key in results[0]:
        torch.testing.assert_close(results[0][key], results[1][key], rtol=0, atol=0)
    expected = make_pair()["moving_net"]
    for axis in transform.mirrored:
        expected = expected.flip(axis + 1)
    torch.testing.assert_close(results[0]["moving_net"], expected, rtol=0, atol=0)


def test_ranges_of_zero_leave_what_mirrors_leave() -> None:
    transform = make(shift_vox=0.0, linear=0.0, wave_vox=0.0)
    transform.set_random_state(seed=0)
    transform(make_pair())
    assert not transform.ddf_vox.any()
