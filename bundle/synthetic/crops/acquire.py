"""One side of a crop as another scanner on another day shows it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from bundle.synthetic.breath.acquisition import Acquisition
from bundle.synthetic.breath.appearance import change_lungs
from bundle.synthetic.breath.scan import reconstruct


def acquire_crop(hu: Tensor, acquisition: Acquisition, voxel_mm: float, rng: np.random.RandomState) -> Tensor:
    """Appearance, slices, kernel and noise of an acquisition, HU (H, W, D) in cubic voxels to the same grid.

    Voxel sizes are those of the crop, but slices, along D, that are thicker; the field of view is the crop. No lung
    mask is needed: what else the appearance changes is air, or tissue near or above the top of the network's window.

    Args:
        hu: (H, W, D) float32.
        acquisition: see `draw_hard_acquisition`.
        voxel_mm: size of the crop's voxels.
        rng: source of texture and noise.
    """
    height, width, depth = hu.shape
    if acquisition.appearance is not None:
        hu = change_lungs(hu, torch.ones_like(hu), acquisition.appearance, np.full(3, voxel_mm), rng)
    slices = min(depth, max(1, round(depth * voxel_mm / acquisition.slice_mm)))
    own = replace(acquisition, in_plane_mm=voxel_mm, slice_mm=voxel_mm * depth / slices, empty_slices=None)
    if slices == depth:
        return reconstruct(hu, own, rng)
    thick = F.interpolate(hu[None, None], size=(height, width, slices), mode="area")[0, 0]
    seen = reconstruct(thick, own, rng)[None, None]
    return F.interpolate(seen, size=(height, width, depth), mode="trilinear", align_corners=False)[0, 0]
