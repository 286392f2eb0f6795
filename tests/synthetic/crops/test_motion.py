from __future__ import annotations

import numpy as np
import pytest
import torch

from bundle.geometry import warp
from bundle.synthetic.crops import motion
from bundle.synthetic.crops.motion import draw_waves_vox, undo_vox

SIDE = 32


@pytest.mark.parametrize("voxel_mm", [1.5, 3.0])
def test_waves_are_smooth_do_not_fold_and_keep_their_size_in_mm(voxel_mm: float) -> None:
    rng = np.random.RandomState(0)
    drawn = [draw_waves_vox(SIDE, voxel_mm, motion.SIZES_MM, rng) for _ in range(60)]
    largest_mm = [float(ddf.abs().max()) * voxel_mm for ddf in drawn]
    assert min(largest_mm) < 1.0
    assert 5.0 < max(largest_mm) < 14.0 * (0.5 + len(motion.CONTROL_POINTS))
    slopes = [max(float(ddf.diff(dim=axis).abs().max()) for axis in (1, 2, 3)) for ddf in drawn]
    assert max(slopes) < 2 * motion.STRAIN * len(motion.CONTROL_POINTS)
    assert np.median(slopes) < 0.5


def test_all_ranges_of_the_size_are_equally_likely(monkeypatch: pytest.MonkeyPatch) -> None:
    sizes_mm = ((1.0, 1.0), (100.0, 100.0))
    monkeypatch.setattr(motion, "WAVE_PROBABILITY", 0.0)
    rng = np.random.RandomState(1)
    sizes = np.array([float(draw_waves_vox(16, 1.0, sizes_mm, rng).abs().max()) for _ in range(100)])
    assert np.mean(sizes > 0.5) == pytest.approx(0.5, abs=0.1)
    assert sizes.max() <= 50.0


@pytest.mark.parametrize("fraction", motion.UNDO_FRACTIONS)
@pytest.mark.parametrize("share", [0.4, 1.0])
def test_a_constant_motion_is_undone_by_its_share(share: float, fraction: int) -> None:
    known = torch.tensor([2.0, -1.0, 0.5]).view(3, 1, 1, 1).expand(3, SIDE, SIDE, SIDE)
    torch.testing.assert_close(undo_vox(known, share, fraction), -share * known, atol=0.02, rtol=0)


def test_a_smooth_motion_is_undone_by_its_inverse() -> None:
    along = torch.arange(SIDE).float()
    known = torch.zeros(3, SIDE, SIDE, SIDE)
    known[0] = 2.0 + 0.1 * along.view(-1, 1, 1)  # p -> 1.1 p + 2
    v = undo_vox(known, 1.0, 4)
    left = v + warp(known[None], v[None])[0]
    inner = left[:, 8:-8, 8:-8, 8:-8]
    assert float(inner.abs().max()) < 0.1
    assert float(known[0].mean()) > 3.0


def test_motion_finer_than_its_smoothing_is_left() -> None:
    known = torch.zeros(3, SIDE, SIDE, SIDE)
    known[1] = torch.tensor([1.0, -1.0]).repeat(SIDE // 2).view(-1, 1, 1)
    torch.testing.assert_close(undo_vox(known, 1.0, 4), torch.zeros_like(known))
