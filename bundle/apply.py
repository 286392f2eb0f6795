"""Apply a transform again: warp scans and label maps, and carry points, all by ITK.

Transforms are ITK's, fixed to moving points, LPS mm: see `bundle.io.read_transform` and `bundle.io.itk_transform`.
"""

from __future__ import annotations

from typing import Literal

import itk
import numpy as np
import torch
from monai.data import MetaTensor
from torch import Tensor

from bundle.geometry import swap_ras_lps
from bundle.io import ImageHeader, itk_from_affine, set_itk_grid

Interpolation = Literal["linear", "bspline", "nearest"]
INTERPOLATORS: dict[Interpolation, str] = {
    "linear": "LinearInterpolateImageFunction",
    "bspline": "BSplineInterpolateImageFunction",
    "nearest": "NearestNeighborInterpolateImageFunction",
}  # names in ITK, which loads them on first use: that takes a second
POLISHING_STEPS = 5  # each leaves a few percent of the error
MAX_LABELS = 1000  # more values than a segmentation has


def transform_points(transform: itk.Transform, points_mm: Tensor) -> Tensor:
    """Carry points (N, 3), RAS mm, float64, by ITK."""
    moved = [list(transform.TransformPoint(point)) for point in swap_ras_lps(points_mm).tolist()]
    return swap_ras_lps(torch.tensor(moved, dtype=torch.float64))


def invert_points(points_mm: Tensor, forward: itk.Transform, inverse: itk.Transform) -> Tensor:
    """Points (N, 3), RAS mm, that `forward` carries to `points_mm`; `inverse`, sampled on a grid, puts them near."""
    near_mm = moved_mm = transform_points(inverse, points_mm)
    for _ in range(POLISHING_STEPS):
        moved_mm = moved_mm + near_mm - transform_points(inverse, transform_points(forward, moved_mm))
    return moved_mm


def warp_scan(
    transform: itk.Transform, scan: MetaTensor, grid: ImageHeader, interpolation: Interpolation, fill: float
) -> Tensor:
    """Read a scan (1, h, w, d) at the transformed points of another grid (H, W, D), float32, by ITK.

    Args:
        transform: from the world of `grid` to that of the scan, LPS mm.
        interpolation: one of `INTERPOLATORS`.
        fill: value outside the scan.
    """
    source = itk.image_from_array(np.ascontiguousarray(scan[0].numpy().T))
    set_itk_grid(source, torch.as_tensor(scan.affine))
    spacing, direction, origin = itk_from_affine(grid.affine)
    resampled = itk.resample_image_filter(
        source,
        transform=transform,
        interpolator=getattr(itk, INTERPOLATORS[interpolation]).New(source),
        size=list(grid.shape),
        output_spacing=spacing,
        output_direction=itk.matrix_from_array(direction),
        output_origin=origin,
        default_pixel_value=fill,
    )
    return torch.from_numpy(itk.array_from_image(resampled)).permute(2, 1, 0)


def warp_labels(transform: itk.Transform, labels: MetaTensor, grid: ImageHeader, *, one_hot: bool) -> Tensor:
    """Read a label map (1, h, w, d) at the transformed points of another grid (H, W, D); 0 outside.

    Args:
        one_hot: interpolate each label's indicator linearly and take the largest, whose borders are smoother.
    Raises: ValueError if the values are no labels.
    """
    values = labels.as_tensor().unique()
    if len(values) > MAX_LABELS or not torch.equal(values, values.round()) or values[0] < 0:
        file = labels.meta.get("filename_or_obj", "labels")
        raise ValueError(f"{file}: expected whole numbers from 0, at most {MAX_LABELS}, got {len(values)} values")
    if not one_hot:
        return warp_scan(transform, labels, grid, "nearest", 0.0)
    best = torch.zeros(grid.shape)
    largest = warp_scan(transform, _indicator(labels, 0.0), grid, "linear", 1.0)
    for value in values[values > 0]:
        share = warp_scan(transform, _indicator(labels, float(value)), grid, "linear", 0.0)
        best = torch.where(share > largest, value, best)
        largest = torch.maximum(share, largest)
    return best


def _indicator(labels: MetaTensor, value: float) -> MetaTensor:
    return MetaTensor((labels.as_tensor() == value).float(), affine=labels.affine)
