from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from bundle.synthetic.breath.acquisition import Acquisition, Appearance, draw_hard_acquisition
from bundle.synthetic.crops.acquire import acquire_crop

SHAPE = (20, 22, 24)
PLAIN = Acquisition(9.0, 2.0, 0.0, 1e-3, (0.0,) * 3, (0.0,) * 3, empty_slices=3)  # no size of its own in plane


def acquire(hu: torch.Tensor, acquisition: Acquisition, seed: int = 0) -> torch.Tensor:
    return acquire_crop(hu, acquisition, 2.0, np.random.RandomState(seed))


def test_thin_slices_without_kernel_and_noise_leave_whole_numbers_of_hu() -> None:
    hu = torch.randint(-1000, 0, SHAPE, generator=torch.Generator().manual_seed(0)).float()
    torch.testing.assert_close(acquire(hu, PLAIN), hu)
    torch.testing.assert_close(acquire(hu, replace(PLAIN, slice_mm=1.0)), hu)


def test_thick_slices_average_along_the_last_axis_alone() -> None:
    hu = torch.zeros(SHAPE)
    hu[..., ::2] = -600.0
    torch.testing.assert_close(acquire(hu, replace(PLAIN, slice_mm=4.0)), torch.full(SHAPE, -300.0))
    across = torch.zeros(SHAPE)
    across[::2] = -600.0
    torch.testing.assert_close(acquire(across, replace(PLAIN, slice_mm=4.0)), across)


def test_noise_has_its_size_and_depends_on_the_seed() -> None:
    noisy = replace(PLAIN, noise_hu=40.0)
    first, again, other = (acquire(torch.full(SHAPE, -500.0), noisy, seed) for seed in (0, 0, 1))
    assert float(first.std()) == pytest.approx(40.0, rel=0.02)
    torch.testing.assert_close(first, again)
    assert not torch.equal(first, other)


def test_the_appearance_is_seen_in_the_crop() -> None:
    denser = Appearance(0.0, 0.0, 40.0, 0.5, (0.0, 0.0, 0.0), 0.0, 2.0)
    seen = acquire(torch.full(SHAPE, -900.0), replace(PLAIN, appearance=denser))
    torch.testing.assert_close(seen, torch.full(SHAPE, -850.0))


@pytest.mark.parametrize("seed", range(3))
def test_hard_acquisitions_keep_the_grid_and_the_range_of_scanners(seed: int) -> None:
    rng = np.random.RandomState(seed)
    hu = torch.from_numpy(rng.uniform(-1000, 100, SHAPE).astype(np.float32))
    seen = acquire(hu, draw_hard_acquisition(rng, agent=True))
    assert seen.shape == hu.shape
    assert -1024 <= float(seen.min()) < float(seen.max()) <= 3071
