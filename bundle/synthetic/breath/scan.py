"""Simulated acquisition of the two scans of a pair: field of view, slices, kernel and noise."""

from __future__ import annotations

import math

import numpy as np
import torch
from monai.data import MetaTensor
from scipy import ndimage
from torch import Tensor

from bundle.geometry import apply_affine, identity_vox, spacing_mm
from bundle.synthetic.breath.acquisition import Acquisition

SOURCE_BLUR_VOX = 0.6  # removes the source's noise, which both scans would share
FILL_BLUR_VOX = 2.0  # sigma of the tissue extrapolation into the rim of the lungs
NOISE_BLUR_VOX = (0.5, 0.9)  # range of the sigma of the noise filter
SHARPEN_MM = 1.5  # sigma of the unsharp mask
SUBSLICES = 2  # thin slices averaged per slice, more of them in slices above 3 mm
SUBSLICE_MM = 1.5
EMPTY_HU = -1024.0
PARENCHYMA_HU, VESSEL_HU = -650.0, -250.0  # full and no change of density with volume


def field_of_view(
    points_mm: Tensor, acquisition: Acquisition, low_mm: Tensor, high_mm: Tensor
) -> tuple[tuple[int, int, int], Tensor]:
    """Shape and affine (4, 4) float64, voxels to the points' frame, of a scan around the lungs.

    Args:
        points_mm: (N, 3) lung points.
        acquisition: voxel size and margins around the points.
        low_mm, high_mm: (3,), corners of the available data, which limit the field of view; beyond them lie the values
            of their border where `acquisition.matrix_vox` asks for more.
    """
    low = points_mm.amin(dim=0).double() - torch.tensor(acquisition.margin_low_mm, dtype=torch.float64)
    high = points_mm.amax(dim=0).double() + torch.tensor(acquisition.margin_high_mm, dtype=torch.float64)
    low, high = torch.maximum(low, low_mm.double()), torch.minimum(high, high_mm.double())
    step = torch.tensor([acquisition.in_plane_mm] * 2 + [acquisition.slice_mm], dtype=torch.float64)
    height, width, depth = torch.floor((high - low) / step).int().clamp_min(2).tolist()
    affine = torch.diag(torch.cat([step, torch.ones(1, dtype=torch.float64)]))
    affine[:3, 3] = low + step / 2
    depth += acquisition.empty_slices or 0
    if acquisition.matrix_vox is not None:
        height = width = acquisition.matrix_vox
        centre = (points_mm.amin(dim=0) + points_mm.amax(dim=0)).double() / 2
        affine[:2, 3] = (centre - (acquisition.matrix_vox - 1) / 2 * step)[:2]
    return (height, width, depth), affine


def subslices(shape: tuple[int, int, int], affine: Tensor, count: int = SUBSLICES) -> Tensor:
    """Points (3, H, W, D * count), in the affine's frame, whose means over `count` are the voxel centres."""
    fine = affine.double().clone()
    fine[:3, 2] /= count
    fine[:3, 3] -= affine[:3, 2] * (0.5 - 0.5 / count)
    size = [shape[0], shape[1], shape[2] * count]
    points = identity_vox(size, torch.empty(0))[0].flatten(1).T
    return apply_affine(fine.float(), points).T.reshape(3, *size)


def subslice_count(affine: Tensor) -> int:
    """Thin slices per slice of a grid: `SUBSLICES`, or as many as are not thicker than `SUBSLICE_MM`."""
    return max(SUBSLICES, math.ceil(float(spacing_mm(affine)[2]) / SUBSLICE_MM - 1e-6))


def mean_over_slices(values: Tensor, count: int = SUBSLICES) -> Tensor:
    """Average (H, W, D * count) to (H, W, D)."""
    return values.unflatten(-1, (-1, count)).mean(dim=-1)


def reconstruct(hu: Tensor, acquisition: Acquisition, rng: np.random.RandomState) -> Tensor:
    """Apply the kernel and add noise from `rng` to HU (H, W, D); return integer HU in scanner range, float32."""
    voxels = hu.numpy()
    step = np.array([acquisition.in_plane_mm, acquisition.in_plane_mm, acquisition.slice_mm])
    in_plane = np.array([1.0, 1.0, 0.0])  # kernels act in plane
    if acquisition.kernel > 0:
        voxels = ndimage.gaussian_filter(voxels, acquisition.kernel * in_plane / step, truncate=3.0)
    else:
        soft = ndimage.gaussian_filter(voxels, SHARPEN_MM * in_plane / step, truncate=3.0)
        voxels = voxels - acquisition.kernel * (voxels - soft)
    blur = rng.uniform(*NOISE_BLUR_VOX)
    noise = ndimage.gaussian_filter(rng.standard_normal(voxels.shape).astype(np.float32), blur, truncate=3.0)
    noise *= acquisition.noise_hu / noise.std()
    scan = torch.from_numpy(np.clip(np.rint(voxels + noise), -1024, 3071).astype(np.float32))
    if acquisition.empty_slices:
        scan[:, :, -acquisition.empty_slices :] = EMPTY_HU
    return scan


def without_empty(mask: Tensor, acquisition: Acquisition) -> Tensor:
    """Lungs (H, W, D) without what lies in the empty slices."""
    empty = torch.arange(mask.shape[-1]) >= mask.shape[-1] - (acquisition.empty_slices or 0)
    return mask & ~empty


def without_noise(scan: MetaTensor) -> Tensor:
    """HU (H, W, D) of a scan (1, H, W, D), smoothed with `SOURCE_BLUR_VOX`."""
    smooth = ndimage.gaussian_filter(scan[0].numpy().astype(np.float32), SOURCE_BLUR_VOX, truncate=3.0)
    return torch.from_numpy(smooth)


def without_lungs(hu: Tensor, mask: Tensor) -> Tensor:
    """HU (H, W, D) with the rim of the lungs (mask > 0) replaced by the surrounding tissue, the inner part by water."""
    outside = (mask == 0).float().numpy()
    share = ndimage.gaussian_filter(outside, FILL_BLUR_VOX)
    filled = ndimage.gaussian_filter(hu.numpy() * outside, FILL_BLUR_VOX) / np.maximum(share, 1e-3)
    return torch.where(mask > 0, torch.from_numpy(filled * (share > 1e-3)), hu)


def airy(hu: Tensor) -> Tensor:
    """Share of parenchyma, in [0, 1]: 1 at `PARENCHYMA_HU` and below, 0 at `VESSEL_HU` and above."""
    return ((VESSEL_HU - hu) / (VESSEL_HU - PARENCHYMA_HU)).clamp(0.0, 1.0)


def compress(hu: Tensor, compression: Tensor) -> Tensor:
    """HU after compression by the factor `compression` (same shape): mass is conserved, vessels are incompressible."""
    return hu + (hu + 1000.0) * airy(hu) * (compression - 1.0)


def lung_points_mm(mask: MetaTensor) -> Tensor:
    """Positions (N, 3) float32 of the mask's voxels in the patient frame."""
    return (mask[0].as_tensor().nonzero() * spacing_mm(mask.affine.double())).float()
