from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.interpolate import BSpline
from scipy.ndimage import uniform_filter

from bundle.inferers.spline_field import SMOOTHING_PASSES, SplineField, SplineVectors, cubic_basis, mean_of_neighbours

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


def test_control_points_are_smoothed_and_then_weighed_by_the_basis() -> None:
    """The field is scipy's spline of control points that were averaged with their 26 neighbours three times."""
    splines = SplineField(SHAPE, spacing_vox=SPACING_VOX, device=torch.device("cpu"))
    control = torch.rand(splines.zeros().shape, generator=torch.Generator().manual_seed(0))
    expected = control[0].double().numpy()
    for _ in range(SMOOTHING_PASSES):
        expected = uniform_filter(expected, size=(1, 3, 3, 3), mode="nearest")
    for axis, (size, spacing_vox) in enumerate(zip(SHAPE, SPACING_VOX, strict=True), 1):
        count = expected.shape[axis]
        spline = BSpline(spacing_vox * np.arange(-3, count + 1), expected.swapaxes(0, axis), 3)
        expected = spline(np.arange(size)).swapaxes(0, axis)
    np.testing.assert_allclose(splines(control)[0], expected, atol=1e-5)


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_a_control_point_moves_its_own_component_most_at_its_own_place(axis: int) -> None:
    splines = SplineField((41, 33, 51), spacing_vox=SPACING_VOX, device=torch.device("cpu"))
    control = splines.zeros()
    control[0, axis, 6, 6, 6] = 1.0  # the first control point lies one spacing before voxel 0
    field = splines(control)[0]
    assert np.unravel_index(int(field[axis].argmax()), (41, 33, 51)) == (20, 15, 25)
    assert not field[[other for other in range(3) if other != axis]].any()


@pytest.mark.parametrize("every_vox", [2, 3])
def test_the_field_at_every_few_voxels_is_a_part_of_the_field(every_vox: int) -> None:
    splines = SplineField(SHAPE, spacing_vox=SPACING_VOX, device=torch.device("cpu"))
    control = torch.rand(splines.zeros().shape, generator=torch.Generator().manual_seed(0))
    every = slice(None, None, every_vox)
    torch.testing.assert_close(splines(control, every_vox=every_vox), splines(control)[..., every, every, every])


def test_the_components_of_a_vector_are_neighbours_in_memory() -> None:
    splines = SplineField(SHAPE, spacing_vox=SPACING_VOX, device=torch.device("cpu"))
    assert splines(splines.zeros()).is_contiguous(memory_format=torch.channels_last_3d)


def test_the_mean_of_neighbours_keeps_a_slope_inside() -> None:
    ramp = torch.arange(6.0).view(1, 1, 6, 1, 1).expand(1, 3, 6, 4, 5)
    torch.testing.assert_close(mean_of_neighbours(ramp)[:, :, 1:-1], ramp[:, :, 1:-1])


@pytest.mark.parametrize("shape", [SHAPE, (37, 9, 11)])
@pytest.mark.parametrize("share", [0.01, 0.3, 1.0])
def test_vectors_at_some_voxels_are_those_of_the_whole_field_and_so_are_their_gradients(
    shape: tuple[int, int, int], share: float
) -> None:
    splines, generator = SplineField(shape, spacing_vox=SPACING_VOX, device=torch.device("cpu")), torch.Generator()
    voxels = (torch.rand(shape, generator=generator.manual_seed(0)) <= share).flatten().nonzero()[:, 0]
    control = torch.rand(splines.zeros().shape, generator=generator).requires_grad_()
    weights = torch.rand(len(voxels), 3, generator=generator)
    found, expected = SplineVectors(splines, voxels)(control), splines(control)[0].flatten(1)[:, voxels].T
    torch.testing.assert_close(found, expected)
    gradients = [torch.autograd.grad((vectors * weights).sum(), control)[0] for vectors in (found, expected)]
    torch.testing.assert_close(*gradients)
