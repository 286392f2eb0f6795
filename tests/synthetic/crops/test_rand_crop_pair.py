from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
import torch
from monai.data import MetaTensor
from monai.networks.blocks import Warp
from torch import Tensor

from bundle.geometry import identity_vox
from bundle.synthetic.crops import RandCropPaird, rand_crop_pair

SHAPE = (56, 60, 64)
SHIFT = torch.tensor([2.0, -1.0, 1.5])
KEYS = ("fixed_net", "moving_net", "mask_net")
SIDE = 32
GRID_MM = 2.0


def scan(points: Tensor) -> Tensor:
    """HU (1, h, w, d), a smooth function of the grid's voxels (3, h, w, d)."""
    x, y, z = points
    return (-700 + 120 * torch.sin(0.25 * x + 1) * torch.cos(0.2 * y) + 100 * torch.sin(0.22 * z + 0.1 * x))[None]


def make_pair(*, has_field: bool = True) -> dict[str, Tensor]:
    """Anatomy that moves by a shift and a small stretch: fixed(p) = moving(p + u(p)), for any p."""
    grid = identity_vox(list(SHAPE), torch.empty(0))[0]
    u = SHIFT.view(3, 1, 1, 1) + 0.05 * (grid - 30.0)
    mask = torch.zeros(1, *SHAPE)
    mask[:, 20:36, 22:38, 24:40] = 1.0
    ground_truth = torch.cat([u, torch.ones(1, *SHAPE)]) if has_field else torch.zeros(4, *SHAPE)
    return {
        "fixed_net": scan(grid + u),
        "moving_net": scan(grid),
        "mask_net": MetaTensor(mask, affine=torch.eye(4) * GRID_MM),
        "ground_truth_net": ground_truth,
        "other": torch.zeros(1),
    }


def make(keys: str | Sequence[str] = KEYS, **options: Any) -> RandCropPaird:
    settings = {"sides": [SIDE], "network_mm": 2.0, "voxel_mm": (1.5, 3.0)}
    settings |= {"fine_prob": 0.0, "fine_mm": (1.0, 1.8), "single_prob": 0.0, "hardness": 1.0}
    return RandCropPaird(keys, **settings | options)


def mismatch_hu(volumes: list[Tensor], ground_truth: Tensor) -> float:
    """MONAI's Warp by the ground truth, against the fixed side, where the ground truth counts."""
    warped = Warp(padding_mode="border")(volumes[1][None], ground_truth[None, :3])[0]
    return float((warped - volumes[0]).abs()[ground_truth[3:4] > 0].mean())


def draw(transform: RandCropPaird, seed: int, pair: dict[str, Tensor]) -> tuple[list[Tensor], Tensor]:
    """A crop before its acquisitions."""
    transform.set_random_state(seed=seed)
    transform.randomize(pair["mask_net"])
    fixed, moving, mask = (pair[key] for key in KEYS)
    if transform.is_single:
        return transform.crop(fixed, fixed, mask, None)
    return transform.crop(fixed, moving, mask, pair["ground_truth_net"])


@pytest.mark.parametrize("single_prob", [0.0, 1.0])
@pytest.mark.parametrize("seed", range(6))
def test_the_ground_truth_maps_the_crop_before_it_is_acquired(seed: int, single_prob: float) -> None:
    volumes, ground_truth = draw(make(single_prob=single_prob), seed, make_pair())
    assert ground_truth.shape == (5, SIDE, SIDE, SIDE)
    assert float((ground_truth[3] > 0).float().mean()) > 0.2
    assert mismatch_hu(volumes, ground_truth) < 4.0  # interpolated twice, of 220 HU
    still = torch.cat([torch.zeros(3, SIDE, SIDE, SIDE), ground_truth[3:]])
    moved_vox = float(ground_truth[:3].norm(dim=0).mean())
    assert mismatch_hu(volumes, still) > 2 * mismatch_hu(volumes, ground_truth) or moved_vox < 0.5


def test_voxel_sizes_and_sides_are_those_asked_for() -> None:
    transform, pair = make(sides=[16, 32]), make_pair()
    transform.set_random_state(seed=0)
    sides, sizes = set(), []
    for _ in range(40):
        cropped = transform(pair)
        sides |= set(cropped["fixed_net"].shape[1:])
        sizes.append(float(cropped["ground_truth_net"][4].unique()))
    assert sides == {16, 32}
    assert 1.5 <= min(sizes) < 1.7
    assert 2.7 < max(sizes) <= 3.0
    assert np.mean([abs(size - 2.0) <= 0.2 for size in sizes]) > 0.4


def test_fine_crops_have_small_voxels_and_little_of_the_known_motion(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rand_crop_pair, "WAVES_PROBABILITY", 0.0)
    pair, transform = make_pair(), make(fine_prob=0.5)
    pair["ground_truth_net"][:3] = SHIFT.view(3, 1, 1, 1)
    transform.set_random_state(seed=0)
    sizes_mm: dict[bool, list[float]] = {True: [], False: []}
    left: dict[bool, list[float]] = {True: [], False: []}
    for _ in range(60):
        cropped = transform(pair)["ground_truth_net"]
        sizes_mm[transform.is_fine].append(float(cropped[4].unique()))
        left[transform.is_fine].append(float((cropped[:3].norm(dim=0) * cropped[4]).mean() / (2 * SHIFT.norm())))
    assert 20 < len(sizes_mm[True]) < 40
    assert 1.0 <= min(sizes_mm[True]) < max(sizes_mm[True]) <= 1.8
    assert min(sizes_mm[False]) >= 1.5
    assert max(left[True]) < 0.45  # at least 0.6 of it are undone
    assert max(left[False]) == pytest.approx(1.0, abs=0.05)


def test_the_ground_truth_of_a_zoomed_crop_is_in_its_own_voxels(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("TURN_PROBABILITY", "WAVES_PROBABILITY", "UNDO_PROBABILITY"):
        monkeypatch.setattr(rand_crop_pair, name, 0.0)
    pair = make_pair()
    pair["ground_truth_net"][:3] = SHIFT.view(3, 1, 1, 1)
    transform = make()
    _, ground_truth = draw(transform, 3, pair)
    mirrored = torch.sign(transform.to_grid.diagonal())
    expected = mirrored * SHIFT * 2.0 / transform.voxel_mm
    torch.testing.assert_close(ground_truth[:3].mean(dim=(1, 2, 3)), expected)


@pytest.mark.parametrize("share", [0.3, 1.0])
def test_what_is_undone_is_missing_in_the_ground_truth(share: float, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rand_crop_pair, "WAVES_PROBABILITY", 0.0)
    pair, transform = make_pair(), make()
    pair["ground_truth_net"][:3] = SHIFT.view(3, 1, 1, 1)
    transform.set_random_state(seed=2)
    transform.randomize(pair["mask_net"])
    transform.undo_share = share
    _, ground_truth = transform.crop(*(pair[key] for key in KEYS), pair["ground_truth_net"])
    left_mm = ground_truth[:3].norm(dim=0) * transform.voxel_mm
    torch.testing.assert_close(
        left_mm, torch.full_like(left_mm, (1 - share) * 2 * float(SHIFT.norm())), atol=0.1, rtol=0
    )


def test_the_loss_counts_lungs_in_full_others_little_and_ways_out_of_the_crop_not_at_all() -> None:
    pair = make_pair()
    pair["ground_truth_net"][:3] = torch.tensor([20.0, 0.0, 0.0]).view(3, 1, 1, 1)
    volumes, ground_truth = draw(make(), 1, pair)
    weight, target = ground_truth[3], identity_vox([SIDE] * 3, torch.empty(0))[0] + ground_truth[:3]
    leaves = ((target <= -1) | (target >= SIDE)).any(dim=0)
    assert bool(leaves.any())
    assert not bool(weight[leaves].any())
    counted = weight > 0
    torch.testing.assert_close(weight[counted], volumes[2][0][counted] + rand_crop_pair.OUTSIDE_WEIGHT)


def test_a_pair_without_a_field_is_only_cropped() -> None:
    pair = make_pair(has_field=False)
    transform = make()
    transform.set_random_state(seed=4)
    cropped = transform(pair)
    assert not cropped["ground_truth_net"][:4].any()
    volumes, _ = draw(make(), 4, pair)
    for key, volume in zip(KEYS, volumes, strict=True):
        torch.testing.assert_close(cropped[key], volume)


def test_both_sides_are_acquired_apart_even_of_one_scan_without_motion(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rand_crop_pair, "STILL_PROBABILITY", 1.0)
    transform = make(single_prob=1.0)
    transform.set_random_state(seed=5)
    cropped = transform(make_pair())
    assert not cropped["ground_truth_net"][:3].any()
    assert float((cropped["fixed_net"] - cropped["moving_net"]).std()) > 5.0
    first, second = transform.acquisitions
    assert first != second


def test_the_sides_of_one_scan_share_little_of_its_noise(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rand_crop_pair, "acquire_crop", lambda hu, *_: hu)
    pair = make_pair()
    pair["fixed_net"] = -500.0 + 100.0 * torch.randn(1, *SHAPE, generator=torch.Generator().manual_seed(0))
    transform = make(single_prob=1.0)
    transform.set_random_state(seed=0)
    seen = transform(pair)
    noisy, _ = transform.crop(pair["fixed_net"], pair["fixed_net"], pair["mask_net"], None)
    for key, volume in zip(KEYS[:2], noisy[:2], strict=True):
        assert float(seen[key].mean()) == pytest.approx(float(volume.mean()), abs=2.0)
        assert float(seen[key].std()) < 0.7 * float(volume.std())


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16])
def test_one_seed_gives_one_crop_and_inputs_stay(dtype: torch.dtype) -> None:
    pair = {key: value.to(dtype) for key, value in make_pair().items()}
    before = {key: value.clone() for key, value in pair.items()}
    results = []
    for _ in range(2):
        transform = make()
        transform.set_random_state(seed=3)
        results.append(transform(pair))
    for key in (*KEYS, "ground_truth_net"):
        torch.testing.assert_close(results[0][key], results[1][key], rtol=0, atol=0)
        assert results[0][key].dtype == torch.float32
        assert torch.equal(pair[key], before[key])
    assert results[0]["other"] is pair["other"]


def test_a_crop_lies_around_a_voxel_of_the_lungs() -> None:
    transform = make()
    mask = make_pair()["mask_net"]
    for seed in range(5):
        transform.set_random_state(seed=seed)
        transform.randomize(mask)
        assert float(mask[0][tuple(transform.centre_vox.long())]) == 1.0
    transform.randomize(torch.zeros_like(mask))
    torch.testing.assert_close(transform.centre_vox, torch.tensor([27.5, 29.5, 31.5]))


def test_another_number_of_keys_is_refused() -> None:
    with pytest.raises(ValueError, match=r"keys: expected the fixed scan, the moving scan and the mask, got \('a',\)"):
        make(keys="a")
