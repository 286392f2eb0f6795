from __future__ import annotations

import numpy as np
import pytest
import torch

from bundle.function.measures.strain import indices, singular_values, strain
from tests.function.breaths import SHEAR, UNIFORM, make_scans


def test_singular_values_are_those_of_lapack() -> None:
    generator = torch.Generator().manual_seed(0)
    matrices = torch.eye(3)[..., None] + 0.5 * torch.randn(3, 3, 200, generator=generator)
    expected = np.linalg.svd(matrices.permute(2, 0, 1).double().numpy(), compute_uv=False).T
    np.testing.assert_allclose(singular_values(matrices).numpy(), expected, atol=1e-6)


def test_equal_singular_values_are_found() -> None:
    same = torch.eye(3)[..., None] * torch.tensor([1.0, 0.7, 1.3])
    np.testing.assert_allclose(singular_values(same).numpy(), np.tile([1.0, 0.7, 1.3], (3, 1)), atol=1e-6)


@pytest.mark.parametrize("matrix", [UNIFORM, SHEAR])
@pytest.mark.parametrize("exhale", ["fixed", "moving"])
@pytest.mark.parametrize("sigma_mm", [0.0, 4.0])
def test_stretches_of_a_linear_map_go_from_exhale_to_inhale(matrix: torch.Tensor, exhale: str, sigma_mm: float) -> None:
    to_inhale = matrix if exhale == "fixed" else torch.linalg.inv(matrix)
    expected = np.linalg.svd(to_inhale.numpy(), compute_uv=False)
    found = strain(make_scans(matrix).breath(exhale), sigma_mm)
    for stretch, value in zip(found[:3], expected, strict=True):
        np.testing.assert_allclose(stretch, value, atol=1e-3)
    product = found.stretch1 * found.stretch2 * found.stretch3
    np.testing.assert_allclose(product, float(torch.linalg.det(to_inhale)), atol=2e-3)


@pytest.mark.parametrize(
    ("stretches", "adi", "sri"),
    [
        ((2.0, 1.0, 1.0), 1.0, 1.0),  # a rod
        ((2.0, 2.0, 1.0), 1.0, 0.0),  # a slab
        ((1.3, 1.3, 1.3), 0.0, np.nan),  # no pattern
        ((4.0, 2.0, 1.0), np.sqrt(2), 0.5),
    ],
)
def test_indices_tell_rods_from_slabs(stretches: tuple[float, float, float], adi: float, sri: float) -> None:
    first, second, third = (np.array([value], np.float32) for value in stretches)
    found_adi, found_sri = indices(first, second, third)
    assert found_adi[0] == pytest.approx(adi, abs=1e-6)
    assert found_sri[0] == pytest.approx(sri, abs=1e-6, nan_ok=True)
