"""Pairs of images whose ddf is known: texture that a smooth field has moved."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from monai.networks.blocks import Warp
from torch import Tensor

SHAPE = (40, 48, 44)


def texture(seed: int = 0) -> Tensor:
    """Smooth random structure (1, 1, *SHAPE) in [0, 1], a few voxels wide."""
    noise = torch.rand(1, 1, *SHAPE, generator=torch.Generator().manual_seed(seed))
    smooth = F.avg_pool3d(F.avg_pool3d(noise, 3, stride=1, padding=1), 3, stride=1, padding=1)
    return (smooth - smooth.amin()) / (smooth.amax() - smooth.amin())


def waves_vox(amplitude_vox: float = 1.5) -> Tensor:
    """A smooth ddf (1, 3, *SHAPE), other along each axis."""
    i, j, k = torch.meshgrid(*(torch.linspace(0, math.pi, side) for side in SHAPE), indexing="ij")
    return amplitude_vox * torch.stack([i.sin() * j.cos(), (j + k).sin(), (0.5 * i - k).cos()])[None]


def moved_pair(ddf_vox: Tensor) -> Tensor:
    """Image (1, 2, *SHAPE) whose fixed scan is exactly its moving scan through the ddf."""
    moving = texture()
    return torch.cat([Warp(padding_mode="border")(moving, ddf_vox), moving], dim=1)


def central_mask() -> Tensor:
    """(1, 1, *SHAPE), 8 voxels away from every side."""
    mask = torch.zeros(1, 1, *SHAPE)
    mask[..., 8:-8, 8:-8, 8:-8] = 1
    return mask
