import pytest
import torch
from torch import Tensor

from bundle.geometry import identity_vox
from bundle.losses import TotalVariationLoss

SHAPE = [5, 6, 7]


def linear_ddf_vox(matrix: Tensor) -> Tensor:
    """ddf (1, 3, H, W, D) with component n = sum over axes m of matrix[n, m] * voxel index m."""
    return torch.einsum("nm,bmhwd->bnhwd", matrix, identity_vox(SHAPE, matrix).to(matrix))


@pytest.mark.parametrize("squared", [False, True])
def test_a_constant_field_has_no_variation(squared: bool) -> None:
    ddf_vox = torch.tensor([3.0, -2.0, 0.5]).view(1, 3, 1, 1, 1).expand(1, 3, *SHAPE)
    assert TotalVariationLoss(squared=squared)(ddf_vox).item() == 0


@pytest.mark.parametrize("component", [0, 1, 2])
@pytest.mark.parametrize("axis", [0, 1, 2])
def test_a_slope_of_one_component_along_one_axis_counts_a_ninth(component: int, axis: int) -> None:
    matrix = torch.zeros(3, 3)
    matrix[component, axis] = -0.6
    ddf_vox = linear_ddf_vox(matrix)
    assert TotalVariationLoss()(ddf_vox).item() == pytest.approx(0.6 / 9, rel=1e-5)
    assert TotalVariationLoss(squared=True)(ddf_vox).item() == pytest.approx(0.36 / 9, rel=1e-5)


def test_without_reduction_each_sample_and_component_has_its_own_value() -> None:
    matrix = torch.tensor([[1.0, 2.0, -3.0], [0.0, 0.0, 0.0], [0.5, 0.5, 0.5]])
    ddf_vox = torch.cat([linear_ddf_vox(matrix), linear_ddf_vox(2 * matrix)])
    result = TotalVariationLoss(reduction="none")(ddf_vox)
    torch.testing.assert_close(result, torch.tensor([[2.0, 0.0, 0.5], [4.0, 0.0, 1.0]]))
    torch.testing.assert_close(TotalVariationLoss()(ddf_vox), result.mean())


def test_half_precision_fields_are_differenced_in_float32() -> None:
    ddf_vox = linear_ddf_vox(torch.eye(3)).bfloat16()
    assert TotalVariationLoss()(ddf_vox).dtype == torch.float32


@pytest.mark.parametrize("squared", [False, True])
def test_gradcheck(squared: bool) -> None:
    generator = torch.Generator().manual_seed(0)
    ddf_vox = torch.randn((1, 3, 3, 4, 5), generator=generator, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(TotalVariationLoss(squared=squared), (ddf_vox,))


def test_bad_options_and_shapes_are_named() -> None:
    with pytest.raises(ValueError, match="reduction: expected 'mean' or 'none', got 'sum'"):
        TotalVariationLoss(reduction="sum")
    with pytest.raises(ValueError, match=r"ddf_vox: expected .* sides of 2 or more, got \(1, 3, 4, 1, 5\)"):
        TotalVariationLoss()(torch.zeros(1, 3, 4, 1, 5))
