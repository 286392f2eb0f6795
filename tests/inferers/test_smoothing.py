from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter

from bundle.inferers.smoothing import MAX_FOLDING, smooth_ddf, unfold
from tests.inferers.pairs import SHAPE


@pytest.mark.parametrize("sigma_vox", [(4.0, 4.0, 4.0), (8.0, 6.0, 3.0), (3.0, 1.5, 0.8)])
def test_a_ddf_is_smoothed_as_by_scipy(sigma_vox: tuple[float, float, float]) -> None:
    noise = np.random.RandomState(0).randn(1, 3, 96, 80, 64).astype(np.float32)
    drawn = gaussian_filter(noise, (0, 0, 2, 2, 2), mode="nearest")
    expected = gaussian_filter(drawn, (0, 0, *sigma_vox), mode="nearest")
    inside = (..., *(slice(16, -16),) * 3)  # elsewhere the border of a coarser grid extends
    error = (smooth_ddf(torch.from_numpy(drawn), sigma_vox).numpy() - expected)[inside]
    assert np.sqrt((error**2).mean()) < 0.1 * expected[inside].std()


def test_a_shift_stays_up_to_the_border() -> None:
    shift = torch.tensor([2.0, -1.0, 0.5]).view(1, 3, 1, 1, 1).expand(1, 3, *SHAPE)
    torch.testing.assert_close(smooth_ddf(shift, [12.0, 12.0, 12.0]), shift)


def test_a_fold_is_smoothed_away_and_a_field_without_folds_is_not_changed() -> None:
    region = torch.ones(1, 1, *SHAPE, dtype=torch.bool)
    folding = torch.zeros(1, 3, *SHAPE)
    folding[:, 0, 20:] = -6.0  # x -> x - 6 beyond a plane: the planes before it are passed
    unfolded = unfold(folding, region)
    slope = np.gradient(unfolded[0, 0].numpy(), axis=0)
    assert (slope <= -1).mean() <= MAX_FOLDING
    smooth = 0.1 * torch.randn(1, 3, *SHAPE, generator=torch.Generator().manual_seed(0))
    assert unfold(smooth, region) is smooth
