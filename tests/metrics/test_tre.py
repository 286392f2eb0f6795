from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import Tensor

from bundle.geometry import apply_affine
from bundle.metrics import TargetRegistrationErrorMetric, TRESummary, compute_tre_mm, snap_to_grid_mm, summarize_tre


def points(*rows: tuple[float, float, float]) -> Tensor:
    return torch.tensor(rows, dtype=torch.float64)


def test_two_slices_of_2_5_mm_are_5_mm_on_an_oblique_grid(oblique_affine: Tensor) -> None:
    fixed_vox = points((3, 4, 5), (10, 2, 7))
    moving_vox = fixed_vox + points((0, 0, 2), (0, 0, -2))
    tre_mm = compute_tre_mm(apply_affine(oblique_affine, fixed_vox), apply_affine(oblique_affine, moving_vox))
    torch.testing.assert_close(tre_mm, torch.tensor([5.0, 5.0], dtype=torch.float64))


def test_each_axis_counts_with_its_own_spacing(oblique_affine: Tensor) -> None:
    start = apply_affine(oblique_affine, points((1, 1, 1)))
    moved = apply_affine(oblique_affine, points((4, 1, 1), (1, 6, 1), (4, 6, 2)))
    expected = torch.tensor([3 * 0.625, 5 * 0.7, math.sqrt(1.875**2 + 3.5**2 + 2.5**2)], dtype=torch.float64)
    torch.testing.assert_close(compute_tre_mm(start.expand(3, 3), moved), expected)


def test_tre_is_float64_so_that_points_a_metre_away_keep_their_micrometres() -> None:
    mapped = points((1500.0, 0, 0))
    assert compute_tre_mm(mapped, mapped + 1e-5).item() == pytest.approx(math.sqrt(3) * 1e-5, rel=1e-6)


@pytest.mark.parametrize(
    ("mapped", "moving"),
    [((4, 3), (5, 3)), ((4, 3), (1, 3)), ((4, 2), (4, 2)), ((1, 4, 3), (1, 4, 3))],
    ids=["counts differ", "one row would broadcast", "two columns", "batched"],
)
def test_landmark_sets_that_do_not_match_are_named(mapped: tuple[int, ...], moving: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match=r"mapped_mm and moving_mm: expected .*\(N, 3\).* got \(.*\) and \(.*\)"):
        compute_tre_mm(torch.zeros(mapped), torch.zeros(moving))


def test_points_snap_to_the_nearest_voxel_of_an_oblique_grid(oblique_affine: Tensor) -> None:
    near = apply_affine(oblique_affine, points((3.4, 4.6, -0.4), (0.51, 7.49, 2.0)))
    expected = apply_affine(oblique_affine, points((3, 5, 0), (1, 7, 2)))
    torch.testing.assert_close(snap_to_grid_mm(near, oblique_affine), expected)


def test_snapping_ties_go_up_whatever_the_rounding_noise(oblique_affine: Tensor) -> None:
    ties_vox = torch.arange(12, dtype=torch.float64)[:, None] + points((0.5, 0.5, 0.5))
    snapped = snap_to_grid_mm(apply_affine(oblique_affine, ties_vox), oblique_affine)
    torch.testing.assert_close(snapped, apply_affine(oblique_affine, ties_vox + 0.5))


def test_snapping_rounds_the_mapped_point_by_hand() -> None:
    affine = torch.diag(torch.tensor([-0.5, 0.5, 2.5, 1.0], dtype=torch.float64))
    mapped, moving = points((-1.3, 0.8, 6.0)), points((-1.5, 1.0, 5.0))  # voxels (2.6, 1.6, 2.4) and (3, 2, 2)
    assert compute_tre_mm(mapped, moving).item() == pytest.approx(math.sqrt(0.2**2 + 0.2**2 + 1.0))
    assert compute_tre_mm(snap_to_grid_mm(mapped, affine), moving).item() == pytest.approx(0.0, abs=1e-12)


@pytest.mark.parametrize("count", [1, 2, 7, 300])
def test_summary_equals_numpy(count: int) -> None:
    tre_mm = torch.rand(count, generator=torch.Generator().manual_seed(count), dtype=torch.float64) * 9
    values = tre_mm.numpy()
    expected = [values.mean(), values.std(), np.median(values), np.percentile(values, 95), values.max(), count]
    np.testing.assert_allclose(summarize_tre(tre_mm), expected, rtol=1e-12)


def test_a_case_without_landmarks_has_no_error_rather_than_zero() -> None:
    summary = summarize_tre(compute_tre_mm(torch.zeros(0, 3), torch.zeros(0, 3)))
    assert summary.landmarks == 0
    assert all(math.isnan(value) for value in summary[:5])


def test_metric_averages_over_cases_not_over_landmarks() -> None:
    metric = TargetRegistrationErrorMetric()
    moving = [torch.zeros(3, 3), torch.zeros(1, 3)]
    metric(y_pred=[points((1, 0, 0), (2, 0, 0), (3, 0, 0)), points((0, 0, 10))], y=moving)
    assert metric.aggregate().item() == pytest.approx((2.0 + 10.0) / 2)


def test_metric_keeps_a_table_row_for_each_case_of_any_landmark_count() -> None:
    generator = torch.Generator().manual_seed(0)
    metric = TargetRegistrationErrorMetric()
    errors = []
    for count in (5, 300, 0, 17):
        mapped, moving = torch.randn(2, count, 3, generator=generator)
        metric(y_pred=[mapped], y=[moving])
        errors.append(np.linalg.norm((mapped - moving).double().numpy(), axis=1))
    table = metric.get_buffer()
    assert table.shape == (4, len(TRESummary._fields))
    for row, error in zip(table[[0, 1, 3]], [errors[0], errors[1], errors[3]], strict=True):
        assert row[0].item() == pytest.approx(error.mean())
        assert row[3].item() == pytest.approx(np.percentile(error, 95))
        assert row[5].item() == len(error)
    assert metric.aggregate().item() == pytest.approx(np.mean([error.mean() for error in errors if len(error)]))


def test_metric_takes_stacked_points_as_a_list_of_cases() -> None:
    mapped, moving = torch.randn(2, 4, 6, 3, generator=torch.Generator().manual_seed(1))
    stacked, listed = TargetRegistrationErrorMetric(), TargetRegistrationErrorMetric()
    torch.testing.assert_close(stacked(y_pred=mapped, y=moving), listed(y_pred=list(mapped), y=list(moving)))


def test_metric_snaps_each_case_to_its_own_moving_grid() -> None:
    grids = [torch.diag(torch.tensor([1.0, 1.0, step, 1.0], dtype=torch.float64)) for step in (2.5, 4.0)]
    metric = TargetRegistrationErrorMetric()
    metric(y_pred=[points((0.2, 0, 3))] * 2, y=[torch.zeros(1, 3)] * 2, moving_affine=grids)
    torch.testing.assert_close(metric.get_buffer()[:, 0], torch.tensor([2.5, 4.0], dtype=torch.float64))


def test_metric_starts_anew_after_reset() -> None:
    metric = TargetRegistrationErrorMetric()
    metric(y_pred=[points((1, 0, 0))], y=[torch.zeros(1, 3)])
    metric.reset()
    with pytest.raises(ValueError, match="no case was scored"):
        metric.aggregate()


def test_metric_without_moving_landmarks_says_what_is_missing() -> None:
    with pytest.raises(ValueError, match="y: expected landmarks of 1 cases, got None"):
        TargetRegistrationErrorMetric()(y_pred=[torch.zeros(1, 3)])
