from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from monai.data import MetaTensor

from bundle.geometry import apply_affine
from bundle.synthetic.breath import scan as ct
from bundle.synthetic.breath.acquisition import Acquisition

PLAIN = Acquisition(
    in_plane_mm=1.5,
    slice_mm=2.5,
    kernel=0.0,
    noise_hu=30.0,
    margin_low_mm=(10.0, 5.0, -2.0),
    margin_high_mm=(8.0, 6.0, 4.0),
)


def test_the_field_of_view_lies_around_the_lungs_and_within_the_source() -> None:
    points_mm = torch.tensor([[20.0, 30.0, 40.0], [120.0, 100.0, 140.0]])
    shape, affine = ct.field_of_view(points_mm, PLAIN, torch.zeros(3), torch.tensor([300.0, 103.0, 300.0]))
    low = apply_affine(affine, torch.full((1, 3), -0.5, dtype=torch.float64))[0]
    high = apply_affine(affine, torch.tensor([shape], dtype=torch.float64) - 0.5)[0]
    torch.testing.assert_close(low, torch.tensor([10.0, 25.0, 42.0], dtype=torch.float64))
    room = torch.tensor([128.0, 103.0, 144.0], dtype=torch.float64) - high
    assert bool((room >= 0).all())
    assert bool((room < torch.tensor([1.5, 1.5, 2.5])).all())


def test_a_scan_of_a_given_matrix_is_centred_on_the_lungs_beyond_the_source() -> None:
    points_mm = torch.tensor([[20.0, 30.0, 40.0], [120.0, 100.0, 140.0]])
    limits = torch.zeros(3), torch.tensor([130.0, 103.0, 300.0])
    shape, affine = ct.field_of_view(points_mm, replace(PLAIN, matrix_vox=128), *limits)
    _, by_margins = ct.field_of_view(points_mm, PLAIN, *limits)
    assert shape == (128, 128, 40)
    middle = (torch.tensor([shape], dtype=torch.float64) - 1) / 2
    torch.testing.assert_close(apply_affine(affine, middle)[0, :2], torch.tensor([70.0, 65.0], dtype=torch.float64))
    torch.testing.assert_close(affine[2], by_margins[2])


def test_slices_average_their_thickness() -> None:
    affine = torch.diag(torch.tensor([2.0, 3.0, 5.0, 1.0], dtype=torch.float64))
    affine[:3, 3] = torch.tensor([7.0, 8.0, 9.0])
    points = ct.subslices((2, 3, 4), affine)
    means = torch.stack([ct.mean_over_slices(part) for part in points])
    vox = torch.cartesian_prod(*[torch.arange(size, dtype=torch.float64) for size in (2, 3, 4)])
    torch.testing.assert_close(means.flatten(1).T.double(), apply_affine(affine, vox))
    assert float(points[2, 0, 0, 1] - points[2, 0, 0, 0]) == pytest.approx(2.5)


def test_parenchyma_conserves_mass_and_vessels_keep_their_density() -> None:
    hu = torch.tensor([-1000.0, -900.0, -700.0, -200.0, 50.0])
    compressed = ct.compress(hu, torch.tensor(1.5))
    torch.testing.assert_close(compressed, torch.tensor([-1000.0, -850.0, -550.0, -200.0, 50.0]))


def test_noise_has_the_size_asked_for_and_depends_on_the_seed() -> None:
    water = torch.zeros(20, 21, 22)
    first, again, other = (ct.reconstruct(water, PLAIN, np.random.RandomState(seed)) for seed in (0, 0, 1))
    assert float(first.std()) == pytest.approx(30.0, abs=0.5)
    torch.testing.assert_close(first, again)
    assert not torch.equal(first, other)


@pytest.mark.parametrize(("kernel", "is_sharper"), [(1.0, False), (-0.5, True)])
def test_kernels_blur_or_sharpen_within_the_slice(kernel: float, is_sharper: bool) -> None:
    edge = torch.full((20, 18, 9), -800.0)
    edge[10:] = 0.0
    edge[:, :, 5:] -= 100.0
    acquisition = Acquisition(1.5, 2.5, kernel, 1e-6, (0.0,) * 3, (0.0,) * 3)
    seen = ct.reconstruct(edge, acquisition, np.random.RandomState(0))
    steepest = float((seen[1:] - seen[:-1]).abs().max())
    assert (steepest > 800) == is_sharper
    torch.testing.assert_close(seen[:, :, 5] - seen[:, :, 4], torch.full((20, 18), -100.0), atol=1.0, rtol=0)


def test_lungs_are_filled_with_the_tissue_around_them() -> None:
    hu = torch.full((20, 18, 16), 40.0)
    mask = torch.zeros_like(hu)
    mask[4:16, 4:14, 4:12] = 1
    hu[mask > 0] = -850.0
    filled = ct.without_lungs(hu, mask)
    assert float((filled - 40.0).abs().amax()) < 41.0  # water deep inside
    assert float((filled[4, 8, 8] - 40.0).abs()) < 0.5


def test_smoothing_takes_noise_but_no_level() -> None:
    rng = np.random.RandomState(0)
    noisy = torch.from_numpy(rng.normal(-800, 50, (1, 20, 18, 16)).astype(np.float32))
    smooth = ct.without_noise(MetaTensor(noisy, affine=torch.eye(4)))
    assert float(smooth.mean()) == pytest.approx(-800, abs=3)
    assert float(smooth.std()) < 25


@pytest.mark.parametrize(("slice_mm", "count"), [(1.0, 2), (3.0, 2), (3.1, 3), (5.0, 4)])
def test_thick_slices_are_averaged_of_more_thin_ones(slice_mm: float, count: int) -> None:
    affine = torch.diag(torch.tensor([2.0, 2.0, slice_mm, 1.0], dtype=torch.float64))
    assert ct.subslice_count(affine) == count
    points = ct.subslices((2, 3, 4), affine, count)
    heights = ct.mean_over_slices(points[2], count)[0, 0]
    torch.testing.assert_close(heights, slice_mm * torch.arange(4.0))


def test_empty_slices_lie_above_the_field_of_view_and_hold_no_lung() -> None:
    points_mm = torch.tensor([[20.0, 30.0, 40.0], [120.0, 100.0, 140.0]])
    limits = torch.zeros(3), torch.full((3,), 300.0)
    empty = replace(PLAIN, empty_slices=3)
    (height, width, depth), affine = ct.field_of_view(points_mm, PLAIN, *limits)
    shape, same = ct.field_of_view(points_mm, empty, *limits)
    assert shape == (height, width, depth + 3)
    torch.testing.assert_close(same, affine)
    seen = ct.reconstruct(torch.zeros(shape), empty, np.random.RandomState(0))
    assert (seen == -1024).nonzero()[:, 2].unique().tolist() == [depth, depth + 1, depth + 2]
    lungs = ct.without_empty(torch.ones(shape, dtype=torch.bool), empty)
    assert torch.equal(lungs, seen > -1024)
    assert bool(ct.without_empty(torch.ones(2, 3, 4, dtype=torch.bool), PLAIN).all())
