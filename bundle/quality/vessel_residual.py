"""Residual misalignment of a registered pair, measured at its vessels without landmarks."""

from __future__ import annotations

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from bundle.lung.vessel_landmarks import vessel_landmarks_vox

NUM_VESSELS = 400
PLEURA_MM = 6.0
PATCH_MM = 6.0  # half side of the compared patches
SEARCH_MM = 9.0  # largest shift along an axis
BATCH = 64  # vessels compared at a time
LEAST_VARIANCE = 1e-4  # of a patch, in intensities from 0 to 1: below this there is nothing to match
NEAR_MM = 4.0  # a registered vessel is closer to its counterpart
MIN_VESSELS = 20  # fewer, as in small animals, say nothing
MATCH_NCC = 0.6  # patches that correlate less at every shift have no counterpart
HU_WINDOW = (-1000.0, -100.0)


class VesselResidual(NamedTuple):
    """Best local shifts of vessels from their registered position.

    shift_mm: (N,), length of the shift.
    ncc: (N,), correlation of the patches at that shift.
    """

    shift_mm: Tensor
    ncc: Tensor

    @property
    def matched(self) -> float:
        """Share of the vessels whose counterpart lies within `NEAR_MM`; NaN for fewer than `MIN_VESSELS`."""
        near = (self.ncc >= MATCH_NCC) & (self.shift_mm <= NEAR_MM)
        return float(near.double().mean()) if len(near) >= MIN_VESSELS else float("nan")

    @property
    def matched_shift_mm(self) -> Tensor:
        """Shifts of the vessels with a counterpart at any distance."""
        return self.shift_mm[self.ncc >= MATCH_NCC]

    def quantile_mm(self, q: float) -> float:
        """Quantile of the shift of matched vessels; NaN for fewer than `MIN_VESSELS`."""
        shifts = self.matched_shift_mm
        return float(shifts.quantile(q)) if len(shifts) >= MIN_VESSELS else float("nan")


def vessel_residual(
    fixed: Tensor, warped: Tensor, mask: Tensor, spacing_mm: tuple[float, float, float]
) -> VesselResidual:
    """Search the neighbourhood of each vessel of the fixed scan for the best match in the warped scan.

    Block matching by normalised cross correlation (as in Heinrich et al. 2012, Med. Image Anal. 16(7), for keypoints):
    a correct registration has its best match at shift zero.

    Args:
        fixed, warped: (H, W, D), intensities from 0 to 1 on one grid.
        mask: (H, W, D), lungs.
        spacing_mm: voxel size.
    """
    hu = fixed * (HU_WINDOW[1] - HU_WINDOW[0]) + HU_WINDOW[0]
    inside = mask > 0.5
    if not inside.any():
        return VesselResidual(torch.zeros(0), torch.zeros(0))
    points = vessel_landmarks_vox(hu, inside, step_mm=spacing_mm, count=NUM_VESSELS, pleura_mm=PLEURA_MM, seed=0)
    patch = [max(1, round(PATCH_MM / size)) for size in spacing_mm]
    search = [max(1, round(SEARCH_MM / size)) for size in spacing_mm]
    reach = [a + b for a, b in zip(patch, search, strict=True)]
    padding = [value for side in reversed(reach) for value in (side, side)]
    fixed, warped = (F.pad(volume[None, None], padding, mode="replicate")[0, 0] for volume in (fixed, warped))
    patches = _cubes(fixed, points + torch.tensor(search), patch)
    has_structure = patches.flatten(1).var(dim=1) >= LEAST_VARIANCE
    patches, points = patches[has_structure], points[has_structure]
    if len(points) < MIN_VESSELS:
        return VesselResidual(torch.zeros(0), torch.zeros(0))
    regions = _cubes(warped, points, reach)
    shifts, scores = [], []
    for some_patches, some_regions in zip(patches.split(BATCH), regions.split(BATCH), strict=True):
        shift_vox, ncc = _best_match(some_patches, some_regions)
        shifts.append(shift_vox - torch.tensor(search))
        scores.append(ncc)
    return VesselResidual((torch.cat(shifts) * torch.tensor(spacing_mm)).norm(dim=1), torch.cat(scores))


def _cubes(volume: Tensor, corners: Tensor, half: list[int]) -> Tensor:
    """Boxes (N, h, w, d) of a volume with sides 2 * half + 1, given their first corners (N, 3)."""
    offsets = torch.cartesian_prod(*(torch.arange(2 * side + 1) for side in half))
    indices = corners[:, None] + offsets
    return volume[indices.unbind(-1)].view(len(corners), *(2 * side + 1 for side in half))


def _best_match(patches: Tensor, regions: Tensor) -> tuple[Tensor, Tensor]:
    """Position (N, 3) in the regions with the highest NCC, refined below a voxel by a parabola, and that NCC (N,)."""
    count = len(patches)
    kernel = patches - patches.mean(dim=(1, 2, 3), keepdim=True)
    size = kernel[0].numel()
    product = F.conv3d(regions[None], kernel[:, None], groups=count)[0]
    mean, mean_square = (_window_mean(values, list(kernel.shape[1:])) for values in (regions, regions**2))
    variance = (mean_square - mean**2).clamp_min(0) * size
    norm = (kernel**2).sum(dim=(1, 2, 3)).view(-1, 1, 1, 1)
    ncc = product / (norm * variance).sqrt().clamp_min(1e-6)
    ncc = torch.where((variance < LEAST_VARIANCE * size) | (norm < LEAST_VARIANCE * size), torch.zeros_like(ncc), ncc)
    best, flat = ncc.flatten(1).max(dim=1)
    position = torch.stack(torch.unravel_index(flat, ncc.shape[1:]), dim=1)
    return position + _parabola(ncc, position), best


def _window_mean(values: Tensor, sides: list[int]) -> Tensor:
    """Means over boxes of `sides` voxels within (N, H, W, D), axis by axis."""
    for axis, side in enumerate(sides):
        values = F.avg_pool3d(values, [side if other == axis else 1 for other in range(3)], stride=1)
    return values


def _parabola(ncc: Tensor, position: Tensor) -> Tensor:
    """Offset (N, 3) of the maximum of the parabola through the neighbours along each axis; 0 at the border."""
    offsets = torch.zeros(position.shape)
    rows = torch.arange(len(position))
    for axis in range(3):
        before, after = position.clone(), position.clone()
        before[:, axis] -= 1
        after[:, axis] += 1
        last = ncc.shape[axis + 1] - 1
        inner = (before[:, axis] >= 0) & (after[:, axis] <= last)
        values = [
            ncc[(rows, *place.clamp(min=0).minimum(torch.tensor(ncc.shape[1:]) - 1).unbind(1))]
            for place in (before, position, after)
        ]
        curvature = values[0] - 2 * values[1] + values[2]
        peak = 0.5 * (values[0] - values[2]) / curvature.clamp_max(-1e-6)
        offsets[inner, axis] = peak[inner].clamp(-0.5, 0.5)
    return offsets
