from __future__ import annotations

import torch
from monai.data import MetaTensor

from bundle.transforms import FitMasksd
from tests.grids import make_affine


def test_masks_come_to_the_grids_of_their_scans() -> None:
    grid = make_affine((8, 9, 10), (1.0, 1.5, 2.5), angles_deg=(10, 20, 30))
    flipped = grid.clone()
    flipped[:3, 0] *= -1
    flipped[:3, 3] = grid[:3, 3] + 7 * grid[:3, 0]
    mask = torch.rand(1, 8, 9, 10, generator=torch.Generator().manual_seed(0)).round()
    pair = {"fixed": MetaTensor(mask, affine=grid), "moving": MetaTensor(mask, affine=grid)}
    fitted = FitMasksd(["fixed", "moving"])({**pair, "fixed_mask": MetaTensor(mask.flip(1), affine=flipped)})
    assert torch.equal(fitted["fixed_mask"].as_tensor().float(), mask)
    assert "moving_mask" not in fitted
