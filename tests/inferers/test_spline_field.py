from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.interpolate import BSpline

from bundle.inferers.spline_field import SplineField, cubic_basis, mean_of_neighbours

SHAPE, SPACING_VOX = (13, 16, 22), (4, 3, 5)


@pytest.mark.parametrize("spacing_vox", [2, 4, 5])
def test_the_basis_is_scipys_cubic_b_spline(spacing_vox: int) -> None:
    basis = cubic_basis(17, spacing_vox)
    for column in range(basis.shape[1]):
        knots = spacing_vox * (np.arange(5) - 3 + column)
        expected = BSpline.basis_element(knots, extrapolate=False)(np.arange(17))
        np.testing.assert_allclose(basis[:, column], np.nan_to_num(expected), atol=1e-6)


@pytest.mark.parametrize("spacing_vox", [3, 4])
def test_a_constant_stays_as_it_is_up_to_the_border(spacing_vox: int) -> None:
    splines = SplineField(SHAPE, spacing_vox=[spacing_vox] * 3, device=torch.device("cpu"))
    shift_vox = torch.tensor([1.5, -2.0, 0.25]).view(1, 3, 1, 1, 1)
    torch.testing.assert_close(splines(splines.zeros() + shift_vox), shift_vox.expand(1, 3, *SHAPE))


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_a_control_point_moves_its_own_component_at_its_own_place(axis: int) -> None:
    splines = SplineField(SHAPE, spacing_vox=SPACING_VOX, device=torch.device("cpu"))
    control = splines.zeros()
    control[0, axis, 2, 3, 4] = 1.0  # the first control point lies one spacing before voxel 0
    field = splines(control)[0]
    assert np.unravel_index(int(field[axis].argmax()), SHAPE) == (4, 6, 15)
    assert not field[[other for other in range(3) if other != axis]].any()


def test_the_mean_of_neighbours_keeps_a_slope_inside() -> None:
    ramp = torch.arange(6.0).view(1, 1, 6, 1, 1).expand(1, 3, 6, 4, 5)
    torch.testing.assert_close(mean_of_neighbours(ramp)[:, :, 1:-1], ramp[:, :, 1:-1])
