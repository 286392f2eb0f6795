"""Apply a transform to scans, label maps and points with ITK.

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
}  # ITK class names; ITK loads each on first use, which takes a second
CORRECTION_STEPS = 5  # each reduces the error to a few percent
MAX_LABELS = 1000  # more labels than any segmentation has


def transform_points(transform: itk.Transform, points_mm: Tensor) -> Tensor:
    """Map points (N, 3), RAS mm, with an ITK transform, in float64."""
    mapped = [list(transform.TransformPoint(point)) for point in swap_ras_lps(points_mm).tolist()]
    return swap_ras_lps(torch.tensor(mapped, dtype=torch.float64))


def invert_points(points_mm: Tensor, forward: itk.Transform, inverse: itk.Transform) -> Tensor:
    """Points (N, 3), RAS mm, that `forward` maps to `points_mm`; `inverse` is its approximate inverse, on a grid."""
    initial_mm = solution_mm = transform_points(inverse, points_mm)
    for _ in range(CORRECTION_STEPS):
        solution_mm = solution_mm + initial_mm - transform_points(inverse, transform_points(forward, solution_mm))
    return solution_mm


def warp_scan(
    transform: itk.Transform, scan: MetaTensor, grid: ImageHeader, interpolation: Interpolation, fill: float
) -> Tensor:
    """Warp a scan (1, h, w, d) to another grid, giving (H, W, D) float32.

    Args:
        transform: world of `grid` to world of `scan`, LPS mm.
        interpolation: one of `INTERPOLATORS`.
        fill: value outside the scan.
    """
    image = itk.image_from_array(np.ascontiguousarray(scan[0].numpy().T))
    set_itk_grid(image, torch.as_tensor(scan.affine))
    spacing, direction, origin = itk_from_affine(grid.affine)
    resampled = itk.resample_image_filter(
        image,
        transform=transform,
        interpolator=getattr(itk, INTERPOLATORS[interpolation]).New(image),
        size=list(grid.shape),
        output_spacing=spacing,
        output_direction=itk.matrix_from_array(direction),
        output_origin=origin,
        default_pixel_value=fill,
    )
    return torch.from_numpy(itk.array_from_image(resampled)).permute(2, 1, 0)


def warp_labels(transform: itk.Transform, labels: MetaTensor, grid: ImageHeader, *, one_hot: bool) -> Tensor:
    """Warp a label map (1, h, w, d) to another grid, giving (H, W, D), 0 outside.

    Args:
        one_hot: interpolate each label linearly and take the largest (smoother borders); False: nearest neighbour.
    Raises: ValueError if the values are not labels.
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
        score = warp_scan(transform, _indicator(labels, float(value)), grid, "linear", 0.0)
        best = torch.where(score > largest, value, best)
        largest = torch.maximum(score, largest)
    return best


def _indicator(labels: MetaTensor, value: float) -> MetaTensor:
    return MetaTensor((labels.as_tensor() == value).float(), affine=labels.affine)
