from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from bundle.geometry import jacobian_determinant
from bundle.inferers import InstanceOptimization, instance_optimization
from bundle.losses import LocalCrossCorrelationLoss, RegistrationLoss, TotalVariationLoss
from tests.inferers.pairs import SHAPE, central_mask, moved_pair, texture, waves_vox

LEVELS: dict[str, Any] = {"levels_mm": (4.0, 2.7, 1.6, 1.0), "control_mm": (12.0, 8.1, 4.8, 3.0), "rim_mm": 3.0}


def make(*, squared: bool = True, weight: float = 0.1, stride_vox: int = 2, **options: Any) -> InstanceOptimization:
    loss = RegistrationLoss(
        similarity=LocalCrossCorrelationLoss(stride_vox=stride_vox),
        regularization=TotalVariationLoss(squared=squared),
        weight=weight,
    )
    return InstanceOptimization(loss=loss, **{**LEVELS, **options})


def optimize(optimization: InstanceOptimization, ddf_vox: Tensor, image: Tensor, mask: Tensor | None = None) -> Tensor:
    """Voxels of 1 mm."""
    return optimization(ddf_vox, image, (1.0, 1.0, 1.0), mask)


@pytest.mark.parametrize(("squared", "weight"), [(True, 0.1), (False, 0.02)], ids=["diffusion", "total variation"])
@pytest.mark.parametrize("stride_vox", [1, 2])
def test_a_known_field_is_found_from_nothing(stride_vox: int, squared: bool, weight: float) -> None:
    truth_vox, mask = waves_vox(), central_mask()
    optimization = make(squared=squared, weight=weight, stride_vox=stride_vox)
    found_vox = optimize(optimization, torch.zeros_like(truth_vox), moved_pair(truth_vox), mask)
    error_vox = (found_vox - truth_vox).norm(dim=1, keepdim=True)[mask > 0]
    assert truth_vox.norm(dim=1, keepdim=True)[mask > 0].mean() > 1.5
    assert error_vox.mean() < 0.1
    assert error_vox.quantile(0.95) < 0.25


def test_the_given_field_is_where_it_starts() -> None:
    """Twelve voxels are out of reach from nothing; from eleven and a half they are not."""
    truth_vox = torch.zeros(1, 3, *SHAPE)
    truth_vox[:, 1] = 12.0
    image, mask = moved_pair(truth_vox), central_mask()
    mask[..., 28:, :] = 0  # what lies beyond has left the image
    close_vox, far_vox = (
        optimize(make(max_steps=20), start, image, mask) for start in (truth_vox - 0.5, 0 * truth_vox)
    )
    inside = (mask > 0).expand_as(truth_vox)
    assert (close_vox - truth_vox)[inside].abs().mean() < 0.1
    assert (far_vox - truth_vox)[inside].abs().mean() > 1


def test_a_start_that_is_worse_than_none_is_dropped() -> None:
    truth_vox = torch.zeros(1, 3, *SHAPE)
    image = moved_pair(truth_vox)
    wrong_vox = torch.full_like(truth_vox, 9.0)
    optimization = make(max_steps=5)
    found_vox, expected_vox = (optimize(optimization, start, image) for start in (wrong_vox, truth_vox))
    torch.testing.assert_close(found_vox, expected_vox)


@pytest.mark.parametrize("start_vox", [0.0, 0.8])
def test_the_same_image_twice_gives_no_field(start_vox: float) -> None:
    image = torch.cat([texture(), texture()], dim=1)
    found_vox = optimize(make(), torch.full((1, 3, *SHAPE), start_vox), image, central_mask())
    assert found_vox.abs().max() == 0


def test_without_time_the_given_field_comes_back() -> None:
    truth_vox = waves_vox()
    found_vox = optimize(make(time_budget_s=0), truth_vox, moved_pair(truth_vox), central_mask())
    assert torch.equal(found_vox, truth_vox)


@pytest.mark.parametrize("start_smoothing_mm", [0.0, 20.0])
def test_when_the_time_ends_early_a_better_given_field_comes_back(
    start_smoothing_mm: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock_s = itertools.count()
    monkeypatch.setattr(instance_optimization.time, "monotonic", lambda: float(next(clock_s)))
    truth_vox = waves_vox()
    optimization = make(time_budget_s=3, start_smoothing_mm=start_smoothing_mm)  # two steps
    found_vox = optimize(optimization, truth_vox, moved_pair(truth_vox), central_mask())
    assert torch.equal(found_vox, truth_vox)


def test_a_smoothed_start_loses_what_splines_cannot_undo_and_keeps_what_is_out_of_reach() -> None:
    """As `test_the_given_field_is_where_it_starts`, with noise on the start."""
    truth_vox = torch.zeros(1, 3, *SHAPE)
    truth_vox[:, 1] = 12.0
    image, mask = moved_pair(truth_vox), central_mask()
    mask[..., 28:, :] = 0
    noise = torch.randn(truth_vox.shape, generator=torch.Generator().manual_seed(0))
    inside = (mask > 0).expand_as(truth_vox)
    raw_mm, smoothed_mm = (
        (optimize(make(max_steps=20, start_smoothing_mm=sigma_mm), truth_vox + noise, image, mask) - truth_vox)[inside]
        .abs()
        .mean()
        for sigma_mm in (0.0, 8.0)
    )
    assert smoothed_mm < 0.1
    assert raw_mm > 3 * smoothed_mm


@pytest.mark.parametrize("least_gain", [0.0, [0.0, 0.0, 0.0, 0.9]])
def test_a_level_that_gains_too_little_changes_nothing(least_gain: float | list[float]) -> None:
    truth_vox, mask = waves_vox(), central_mask()
    image, start_vox = moved_pair(truth_vox), torch.zeros_like(truth_vox)
    found_vox = optimize(make(least_gain=least_gain), start_vox, image, mask)
    coarse = {"levels_mm": (4.0, 2.7, 1.6), "control_mm": (12.0, 8.1, 4.8)}
    without_vox = optimize(make(**coarse), start_vox, image, mask)
    assert torch.allclose(found_vox, without_vox, atol=1e-5) == isinstance(least_gain, list)


def test_two_runs_give_the_same_field_bit_by_bit() -> None:
    image, start_vox = moved_pair(waves_vox()), torch.zeros(1, 3, *SHAPE)
    first, second = (optimize(make(max_steps=5), start_vox, image, central_mask()) for _ in range(2))
    assert torch.equal(first, second)


def test_a_stable_level_ends_early() -> None:
    class Indifferent(nn.Module):
        calls, window_vox, stride_vox = 0, 1, 1

        def forward(self, warped: Tensor, fixed: Tensor, mask: Tensor) -> Tensor:
            self.calls += 1
            return 0 * warped.sum()

    similarity = Indifferent()
    loss = RegistrationLoss(similarity=similarity, regularization=TotalVariationLoss(), weight=0.0)
    optimization = InstanceOptimization(loss=loss, levels_mm=[1.0], control_mm=[3.0], rim_mm=3.0, max_steps=100)
    optimize(optimization, torch.zeros(1, 3, *SHAPE), moved_pair(waves_vox()))
    assert similarity.calls < 20


def test_unrelated_scans_do_not_fold_the_field() -> None:
    image, mask = torch.cat([texture(1), texture(2)], dim=1), central_mask()
    found_vox = optimize(make(), torch.zeros(1, 3, *SHAPE), image, mask)
    jacobian = jacobian_determinant(found_vox[0], torch.eye(4))
    assert found_vox.abs().max() > 0.5
    assert (jacobian[mask[0, 0] > 0] <= 0).float().mean() <= 0.001


def test_hosts_in_inference_mode_and_under_autocast_get_the_same_field() -> None:
    image, start_vox = moved_pair(waves_vox()), torch.zeros(1, 3, *SHAPE)
    optimization = make(max_steps=3, levels_mm=[2.0], control_mm=[6.0])
    expected_vox = optimize(optimization, start_vox, image)
    with torch.inference_mode():
        found_vox = optimize(optimization, start_vox.clone(), image.clone())
    assert torch.equal(found_vox, expected_vox)
    assert found_vox.dtype == torch.float32


@pytest.mark.parametrize("thickness", [1, 20])
def test_a_mask_at_the_border_of_the_image_keeps_the_shape(thickness: int) -> None:
    mask = torch.zeros(1, 1, *SHAPE)
    mask[..., :thickness, 30:, 5:9] = 1
    found_vox = optimize(make(max_steps=2), torch.zeros(1, 3, *SHAPE), moved_pair(waves_vox()), mask)
    assert found_vox.shape == (1, 3, *SHAPE)


@pytest.mark.parametrize(
    ("spacing_mm", "options", "equal"),
    [
        ((2.0, 2.0, 2.0), {"levels_mm": [4.0, 2.0], "control_mm": [12.0, 6.0], "rim_mm": 6.0}, True),
        ((2.0, 2.0, 2.0), {"levels_mm": [2.0, 1.0], "control_mm": [6.0, 3.0], "rim_mm": 3.0}, False),
    ],
    ids=["twice as large", "the same millimetres"],
)
def test_settings_are_millimetres(spacing_mm: tuple[float, ...], options: dict[str, Any], equal: bool) -> None:
    """Scaling the grid and all settings changes nothing; scaling the grid alone does."""
    image, mask, start_vox = moved_pair(waves_vox()), central_mask(), torch.zeros(1, 3, *SHAPE)
    fine = {"levels_mm": [2.0, 1.0], "control_mm": [6.0, 3.0], "rim_mm": 3.0}
    expected_vox = make(max_steps=3, **fine)(start_vox, image, (1.0, 1.0, 1.0), mask)
    found_vox = make(max_steps=3, **options)(start_vox, image, spacing_mm, mask)
    assert torch.equal(found_vox, expected_vox) is equal


class Watching(LocalCrossCorrelationLoss):
    """Notes the shape of what it compares."""

    def __init__(self, stride_vox: int) -> None:
        super().__init__(stride_vox=stride_vox)
        self.shapes: list[tuple[int, ...]] = []

    def forward(self, pred: Tensor, target: Tensor, mask: Tensor | None = None) -> Tensor:
        self.shapes.append(tuple(pred.shape[2:]))
        return super().forward(pred, target, mask=mask)


def watch(stride_vox: int, spacing_mm: Sequence[float] = (1.0, 1.0, 1.0), **options: Any) -> list[tuple[int, ...]]:
    """Shapes of all comparisons of a whole image with another, 2 of which tell whether the start is worse than none."""
    watching = Watching(stride_vox)
    loss = RegistrationLoss(similarity=watching, regularization=TotalVariationLoss(), weight=0.1)
    optimization = InstanceOptimization(loss=loss, rim_mm=3.0, **options)
    optimization(torch.zeros(1, 3, *SHAPE), moved_pair(waves_vox()), spacing_mm)
    return watching.shapes[2:]


def test_a_level_finer_than_the_grid_uses_its_voxels_and_levels_are_cubic_where_the_grid_is_not() -> None:
    shapes = watch(1, (1.0, 2.0, 0.5), levels_mm=[2.0, 0.5], control_mm=[6.0, 3.0], max_steps=1)
    assert shapes[0] == (20, 48, 16)  # 40 x 96 x 22 mm in voxels of 2 mm, at least 16
    assert shapes[-1] == SHAPE


def test_a_level_with_voxels_and_control_points_of_the_one_before_is_left_out() -> None:
    once = watch(1, levels_mm=[1.0], control_mm=[3.0], max_steps=2)
    assert watch(1, levels_mm=[1.0, 0.5], control_mm=[3.0, 2.9], max_steps=2) == once
    assert len(watch(1, levels_mm=[1.0, 0.5], control_mm=[3.0, 2.0], max_steps=2)) == 2 * len(once)


@pytest.mark.parametrize(("max_steps", "expected"), [(3, [3, 3]), ([5, 2], [5, 2])])
def test_steps_are_those_of_each_level(max_steps: int | list[int], expected: list[int]) -> None:
    shapes = watch(1, levels_mm=[2.0, 1.0], control_mm=[6.0, 3.0], max_steps=max_steps)
    sides = [min(SHAPE[0], round(SHAPE[0] / level_mm)) for level_mm in (2.0, 1.0)]
    found = [sum(shape[0] == side for shape in shapes) for side in sides]
    assert found == [steps + 1 for steps in expected]  # the last comparison tells whether the level was worth it


def test_windows_with_a_stride_are_others_in_each_step_until_all_were_compared() -> None:
    *shapes, last = watch(2, levels_mm=[1.0], control_mm=[3.0], max_steps=16)
    begins = [tuple(side - seen for side, seen in zip(SHAPE, shape, strict=True)) for shape in shapes]
    assert len(set(begins[:8])) == 8
    assert begins[8:] == begins[:8]
    assert last == shapes[0], "the same windows tell whether the level was worth it"


def test_the_learning_rate_decreases_linearly_to_zero() -> None:
    """Adam's steps are proportional to the learning rate where the gradient stays the same: that of a brightness."""

    class Darker(nn.Module):
        window_vox, stride_vox = 1, 1

        def forward(self, warped: Tensor, fixed: Tensor, mask: Tensor) -> Tensor:
            return (warped * mask).sum() / mask.sum()

    loss = RegistrationLoss(similarity=Darker(), regularization=TotalVariationLoss(), weight=0.0)
    options: dict[str, Any] = {"levels_mm": [1.0], "control_mm": [3.0], "rim_mm": 0.0, "learning_rate_vox": 0.3}
    slope = torch.arange(float(SHAPE[0])).view(1, 1, -1, 1, 1).expand(1, 2, *SHAPE)
    one_step_vox, ten_steps_vox = (
        InstanceOptimization(loss=loss, max_steps=steps, **options)(
            torch.zeros(1, 3, *SHAPE), slope, (1.0, 1.0, 1.0), central_mask()
        )[0, 0, *(slice(side // 2 - 2, side // 2 + 2) for side in SHAPE)]
        for steps in (1, 10)
    )
    assert -0.3 < one_step_vox.mean() < 0
    torch.testing.assert_close(ten_steps_vox, sum(1 - step / 10 for step in range(10)) * one_step_vox)


def test_a_similarity_that_does_not_state_its_window_is_refused() -> None:
    loss = RegistrationLoss(similarity=nn.MSELoss(), regularization=TotalVariationLoss(), weight=0.1)
    with pytest.raises(ValueError, match="expected a similarity with window_vox and stride_vox, got MSELoss"):
        InstanceOptimization(loss=loss, **LEVELS)


def test_every_level_needs_its_control_points() -> None:
    with pytest.raises(ValueError, match=r"control_mm: expected one value for each of levels_mm \[2.0\], got \[\]"):
        make(levels_mm=[2.0], control_mm=[])


def test_steps_that_do_not_fit_the_levels_are_refused() -> None:
    with pytest.raises(ValueError, match=r"max_steps: expected one value for each of levels_mm .*, got \[5, 5, 5\]"):
        make(max_steps=[5, 5, 5])


def test_gains_that_do_not_fit_the_levels_are_refused() -> None:
    with pytest.raises(ValueError, match=r"least_gain: expected one value for each of levels_mm .*, got \[0.1\]"):
        make(least_gain=[0.1])


def test_a_time_below_zero_cannot_be_meant() -> None:
    with pytest.raises(ValueError, match="refine_budget_s: expected seconds of 0 or more, got -1"):
        make(time_budget_s=-1.0)
