"""The lungs as another scanner on another day shows them: vessels, contrast agent, density, gravity, texture."""

from __future__ import annotations

import numpy as np
import torch
from monai.data import MetaTensor
from scipy import ndimage
from torch import Tensor

from bundle.geometry import spacing_mm
from bundle.synthetic.breath.acquisition import Appearance
from bundle.synthetic.breath.scan import airy, compress

PARENCHYMA_HU = -800.0  # what is denser contains vessels
PLAIN_BLOOD_HU = 40.0
BLOOD_RANGE_HU = (0.0, 800.0)  # between the lungs: neither fat nor compact bone
BLOOD_QUANTILE = 0.8  # there: blood with contrast agent is denser than muscle
LEAST_DENSITY = 0.3  # lower limit of the parenchyma's relative density
FRONT_MM = 8.0  # width of the transition from the spine to the heart
LOWEST_HU, HIGHEST_HU = -1024.0, 3071.0


def change_lungs(
    hu: Tensor,
    lungs: Tensor,
    appearance: Appearance,
    step_mm: np.ndarray,
    rng: np.random.RandomState,
    *,
    source_blood_hu: float = PLAIN_BLOOD_HU,
) -> Tensor:
    """HU (H, W, D) with the lungs changed; voxels elsewhere keep their value, also beside the lungs.

    Nothing moves but the surface of the vessels, so any displacement field of the scan remains exact.

    Args:
        hu: (H, W, D) float32.
        lungs: (H, W, D) in [0, 1], share of lung of each voxel, vessels included.
        appearance: what to change; its axes are those of the volume.
        step_mm: (3,) voxel size.
        rng: source of the texture.
        source_blood_hu: blood in `hu`.
    """
    parenchyma = airy(hu)
    changed = _with_calibre(hu, lungs, appearance.calibre_mm / float(step_mm.mean()))
    blood = (appearance.blood_hu - PARENCHYMA_HU) / (source_blood_hu - PARENCHYMA_HU)
    excess = (changed - PARENCHYMA_HU).clamp_min(0.0)
    changed = changed + excess * (blood * (1.0 + appearance.vessel_contrast) - 1.0)
    density = torch.full_like(hu, 1.0 + appearance.density)
    for axis, slope in enumerate(appearance.gradient_per_100mm):
        along = (torch.arange(hu.shape[axis]) - (hu.shape[axis] - 1) / 2) * float(step_mm[axis]) / 100.0
        density += slope * along.view([-1 if other == axis else 1 for other in range(3)])
    changed = compress(changed, density.clamp_min(LEAST_DENSITY))
    texture = rng.standard_normal(hu.shape).astype(np.float32)
    texture = ndimage.gaussian_filter(texture, appearance.texture_mm / step_mm, truncate=3.0)
    changed = changed + parenchyma * torch.from_numpy(texture * (appearance.texture_hu / texture.std()))
    return hu + lungs * (changed - hu)


def change_scan(scan: MetaTensor, mask: MetaTensor, appearance: Appearance, rng: np.random.RandomState) -> MetaTensor:
    """A scan with changed lungs and, between them, the blood of the heart and the great vessels changed alike.

    Args:
        scan, mask: (1, H, W, D), HU and lungs, axes along R, A, S.
        appearance: what to change.
        rng: source of the texture.
    """
    hu, lungs = scan[0].as_tensor().float(), (mask[0].as_tensor() > 0).float()
    step_mm = spacing_mm(scan.affine.double()).numpy()
    heart = heart_share(lungs, float(step_mm[1]))
    source_blood_hu = blood_of(hu, heart)
    changed = change_lungs(hu, lungs, appearance, step_mm, rng, source_blood_hu=source_blood_hu)
    muscle_hu = min(PLAIN_BLOOD_HU, source_blood_hu / 2)  # keeps its value
    share = heart * ((hu - muscle_hu) / (source_blood_hu - muscle_hu)).clamp(0.0, 1.0)
    changed = changed + share * (appearance.blood_hu - source_blood_hu)
    return MetaTensor(changed.clamp(LOWEST_HU, HIGHEST_HU)[None], affine=scan.affine)


def heart_share(lungs: Tensor, step_mm: float) -> Tensor:
    """Share (H, W, D) of the region of the heart: between the lungs along R, not behind their centre along A.

    Args:
        lungs: (H, W, D), axes along R, A, S, 1 in the lungs, else 0.
        step_mm: voxel size along A.
    """
    between = torch.minimum(lungs.cummax(dim=0).values, lungs.flip(0).cummax(dim=0).values.flip(0)) * (1 - lungs)
    rows = torch.arange(lungs.shape[1])
    centre = (lungs.sum(dim=(0, 2)) * rows).sum() / lungs.sum().clamp_min(1.0)
    front = torch.sigmoid((rows - centre) * step_mm / FRONT_MM)
    return between * front.view(-1, 1)


def blood_of(hu: Tensor, heart: Tensor) -> float:
    """`BLOOD_QUANTILE` of the HU of the heart's region, within `BLOOD_RANGE_HU`; at least that of plain blood."""
    low, high = BLOOD_RANGE_HU
    values = hu[(heart > 0.5) & (hu > low) & (hu < high)]
    return max(float(values.quantile(BLOOD_QUANTILE)), PLAIN_BLOOD_HU) if values.numel() else PLAIN_BLOOD_HU


def _with_calibre(hu: Tensor, lungs: Tensor, change_vox: float) -> Tensor:
    """Grow (or, below 0, shrink) what is dense in the lungs by a part of a voxel; the lungs' border does not move."""
    sign = 1.0 if change_vox > 0 else -1.0
    inside = torch.where(lungs >= 0.5, sign * hu, torch.full_like(hu, -HIGHEST_HU))
    grown = sign * torch.from_numpy(ndimage.maximum_filter(inside.numpy(), 3, mode="nearest"))
    return torch.where(lungs >= 0.5, hu + min(abs(change_vox), 1.0) * (grown - hu), hu)
