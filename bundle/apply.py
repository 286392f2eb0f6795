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

from bundle.io import ImageHeader, extend, itk_from_affine, set_itk_grid, transform_points
from bundle.io.displacement import displacement_from_itk
from bundle.resample import AIR_HU

Interpolation = Literal["linear", "bspline", "nearest"]
INTERPOLATORS: dict[Interpolation, str] = {
    "linear": "LinearInterpolateImageFunction",
    "bspline": "BSplineInterpolateImageFunction",
    "nearest": "NearestNeighborInterpolateImageFunction",
}  # ITK class names; ITK loads each on first use, which takes a second
CORRECTION_STEPS = 5  # each reduces the error to a few percent
MAX_LABELS = 1000  # more labels than any segmentation has
HU_BELOW = -500.0  # a scan in HU has air or lung below it; dose, MR, PET and normalised images do not


def invert_points(
    points_mm: Tensor, forward: itk.Transform, inverse: itk.Transform, *, name: str = "transform"
) -> Tensor:
    """Points (N, 3), RAS mm, that `forward` maps to `points_mm`; `inverse` is its approximate inverse, on a grid.

    Args:
        name: of the transform, for errors.
    Raises: ValueError for points far outside, see `bundle.io.extend`.
    """
    inverse = extend(inverse, points_mm, name=name)
    initial_mm = solution_mm = transform_points(inverse, points_mm)
    forward = extend(forward, initial_mm, name=name)
    for _ in range(CORRECTION_STEPS):
        solution_mm = solution_mm + initial_mm - transform_points(inverse, transform_points(forward, solution_mm))
    return solution_mm


def outside_value(scan: MetaTensor) -> float:
    """Value outside a scan: air for a scan in HU, else 0, as for a dose or an image without negative values."""
    return AIR_HU if float(scan.min()) < HU_BELOW else 0.0


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


def displacement_on(transform: itk.Transform, grid: ImageHeader) -> Tensor:
    """Displacement (3, H, W, D) float32, RAS mm, of a transform at the voxels of a grid."""
    spacing, direction, origin = itk_from_affine(grid.affine)
    sample = itk.TransformToDisplacementFieldFilter[itk.Image[itk.Vector[itk.F, 3], 3], itk.D].New()
    sample.SetTransform(transform)
    sample.SetSize(list(grid.shape))
    sample.SetOutputSpacing(spacing)
    sample.SetOutputDirection(itk.matrix_from_array(direction))
    sample.SetOutputOrigin(origin)
    sample.Update()
    return displacement_from_itk(sample.GetOutput())[0]


def warp_labels(transform: itk.Transform, labels: MetaTensor, grid: ImageHeader, *, one_hot: bool) -> Tensor:
    """Warp a label map (1, h, w, d) to another grid, giving (H, W, D), 0 outside.

    Args:
        labels: whole numbers of any type, see `bundle.io.read_labels`.
        one_hot: interpolate each label linearly and take the largest (smoother borders); False: nearest neighbour.
    Returns: exactly the values of the labels, in their integer type; of floats, in the smallest that holds them.
    Raises: ValueError if the values are not labels.
    """
    voxels = labels.as_tensor().numpy()
    values = np.unique(voxels)
    if len(values) > MAX_LABELS or (values.dtype.kind == "f" and not np.array_equal(values, np.rint(values))):
        file = labels.meta.get("filename_or_obj", "labels")
        raise ValueError(
            f"{file}: expected whole numbers, at most {MAX_LABELS} different ones, got {len(values)} values"
        )
    integers = values if values.dtype.kind in "iu" else values.astype(_smallest_type(values))
    numbers = MetaTensor(torch.from_numpy(np.searchsorted(values, voxels).astype(np.float32)), affine=labels.affine)
    table = np.append(integers, np.zeros(1, integers.dtype))  # the last one is the background outside
    outside = len(values)
    if not one_hot:
        nearest = warp_scan(transform, numbers, grid, "nearest", float(outside))
        return torch.from_numpy(table[nearest.long().numpy()])
    best = torch.full(grid.shape, outside)
    largest = warp_scan(transform, _indicator(numbers, outside), grid, "linear", 1.0)  # the share of the outside
    for number in [*np.flatnonzero(values == 0).tolist(), *np.flatnonzero(values).tolist()]:  # ties are background
        score = warp_scan(transform, _indicator(numbers, number), grid, "linear", 0.0)
        best = torch.where(score > largest, number, best)
        largest = torch.maximum(score, largest)
    return torch.from_numpy(table[best.numpy()])


def _smallest_type(values: np.ndarray) -> type[np.generic]:
    """The smallest of the usual integer types of label maps that holds whole numbers."""
    low, high = float(values.min()), float(values.max())
    for kind in (np.uint8, np.int16, np.int32, np.int64):
        if np.iinfo(kind).min <= low and high <= np.iinfo(kind).max:
            return kind
    raise ValueError(f"labels: expected whole numbers of at most 64 bits, got {low:g} to {high:g}")


def _indicator(numbers: MetaTensor, number: int) -> MetaTensor:
    return MetaTensor((numbers.as_tensor() == number).float(), affine=numbers.affine)
