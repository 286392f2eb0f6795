from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from bundle.geometry import apply_affine, identity_vox, jacobian_determinant
from bundle.metrics import JacobianMetric, folding_percent, sd_log_jacobian

SHAPE = (6, 7, 8)


def linear_displacement_mm(matrix: Tensor, affine: Tensor) -> Tensor:
    """u(x) = (M - I) x on a grid, (3, H, W, D): the transform x -> M x has the determinant of M everywhere."""
    grid_mm = apply_affine(affine, identity_vox(list(SHAPE), affine)[0].flatten(1).T.double())
    return (grid_mm @ (matrix - torch.eye(3)).double().T).T.reshape(3, *SHAPE)


@pytest.mark.parametrize(
    ("scales", "folding"), [((1.1, 0.8, 1.3), 0.0), ((-0.5, 1.0, 1.0), 100.0), ((0.0, 1.0, 1.0), 100.0)]
)
def test_a_linear_field_folds_everywhere_or_nowhere(
    scales: tuple[float, float, float], folding: float, oblique_affine: Tensor
) -> None:
    # along the grid's own axes, so that a wrong affine would change the determinant's sign or rounding
    axes = oblique_affine[:3, :3] / torch.linalg.vector_norm(oblique_affine[:3, :3], dim=0)
    matrix = axes @ torch.diag(torch.tensor(scales, dtype=torch.float64)) @ axes.T
    jacobian = jacobian_determinant(linear_displacement_mm(matrix, oblique_affine), oblique_affine)
    assert folding_percent(jacobian.round(decimals=9), torch.ones(SHAPE)) == folding


def test_every_affine_transform_has_zero_sd_log_jacobian(oblique_affine: Tensor) -> None:
    matrix = torch.tensor([[1.2, 0.1, -0.2], [0.0, 0.7, 0.3], [0.1, 0.0, 1.1]], dtype=torch.float64)
    jacobian = jacobian_determinant(linear_displacement_mm(matrix, oblique_affine), oblique_affine)
    torch.testing.assert_close(jacobian, torch.linalg.det(matrix).expand(SHAPE))
    assert sd_log_jacobian(jacobian, torch.ones(SHAPE)) == pytest.approx(0.0, abs=1e-12)


def test_sd_log_jacobian_of_two_halves_is_half_the_log_ratio() -> None:
    jacobian = torch.ones(SHAPE)
    jacobian[:3], jacobian[3:] = 2.0, 0.5
    assert sd_log_jacobian(jacobian, torch.ones(SHAPE)) == pytest.approx(math.log(4.0) / 2)


def test_folded_voxels_raise_sd_log_jacobian_by_the_clipping_value() -> None:
    jacobian = torch.tensor([1.0, 1.0, 1.0, -2.0])
    mean, low = math.log(1e-9) / 4, math.log(1e-9)
    expected = math.sqrt((3 * mean**2 + (low - mean) ** 2) / 4)
    assert sd_log_jacobian(jacobian, torch.ones(4)) == pytest.approx(expected)


def test_only_voxels_inside_the_mask_count() -> None:
    jacobian, mask = torch.ones(SHAPE), torch.zeros(SHAPE)
    jacobian[0], jacobian[1, 0] = -1.0, 0.0
    mask[1:3] = 1
    assert folding_percent(jacobian, mask) == pytest.approx(100 * 8 / (2 * 7 * 8))
    mask[1] = 0
    assert folding_percent(jacobian, mask) == 0.0
    assert sd_log_jacobian(jacobian, mask) == 0.0


@pytest.mark.parametrize("score", [folding_percent, sd_log_jacobian])
def test_an_empty_mask_or_one_of_another_shape_is_an_error(score: Callable[[Tensor, Tensor], float]) -> None:
    with pytest.raises(ValueError, match="mask: expected at least one voxel"):
        score(torch.ones(SHAPE), torch.zeros(SHAPE))
    with pytest.raises(ValueError, match=r"mask: expected the Jacobian's shape \(6, 7, 8\), got \(8, 7, 6\)"):
        score(torch.ones(SHAPE), torch.ones(8, 7, 6))


def test_metric_averages_cases_on_different_grids() -> None:
    metric = JacobianMetric(statistic="folding_percent")
    first, second = torch.ones(1, *SHAPE), torch.ones(1, 2, 2, 2)
    second[0, 0, 0, 0] = -1
    metric(y_pred=[first, second], y=[torch.ones_like(first), torch.ones_like(second)])
    torch.testing.assert_close(metric.get_buffer(), torch.tensor([[0.0], [12.5]], dtype=torch.float64))
    assert metric.aggregate().item() == pytest.approx(6.25)


def test_an_unknown_statistic_lists_the_known_ones() -> None:
    with pytest.raises(ValueError, match=r"statistic: expected one of \['folding_percent', 'sd_log_jacobian'\]"):
        JacobianMetric(statistic="bending")  # type: ignore[arg-type]
