"""Apply a registration's result again: carry a scan, labels or landmarks through a transform, or back."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import fire
import itk
import numpy as np
import torch
from monai.data import MetaTensor
from torch import Tensor

from bundle.geometry import swap_ras_lps
from bundle.io import (
    ImageHeader,
    check_header,
    invert_transform,
    read_image,
    read_landmarks_mm,
    read_transform,
    write_image,
    write_landmarks_csv,
    write_landmarks_slicer,
)
from bundle.io.headers import itk_from_affine, set_itk_grid

INTERPOLATORS = {
    "linear": "LinearInterpolateImageFunction",
    "bspline": "BSplineInterpolateImageFunction",
    "nearest": "NearestNeighborInterpolateImageFunction",
}  # ITK's, by name: it loads them on first use, which takes a second
CHOICES = {"image": ("linear", "bspline"), "labels": ("nearest", "one_hot"), "landmarks": (True,)}
IMAGE_SUFFIXES = (".nii", ".nii.gz")
LANDMARK_SUFFIXES = (".csv", ".mrk.json")
POLISHING_STEPS = 5  # each leaves a few percent of the error
MAX_LABELS = 1000  # more values than a segmentation has


def apply(
    transform: str,
    input: str,
    out: str,
    reference: str | None = None,
    image: Literal["linear", "bspline"] | None = None,
    labels: Literal["nearest", "one_hot"] | None = None,
    landmarks: bool = False,
    inverse: bool = False,
    fill: float = -1000.0,
    system: Literal["LPS", "RAS"] = "LPS",
) -> None:
    """Carry INPUT through TRANSFORM and write it to OUT.

    A scan or labels of the moving scan come to the grid of the fixed one, landmarks go from the fixed scan to the
    moving one; with --inverse both the other way. One of --image, --labels and --landmarks says what INPUT is.

    Args:
        transform: ITK transform (transform.h5, .tfm, ANTs' .mat) or displacement field (displacement.nii.gz), fixed
            point to moving point.
        input: scan, label map or landmark file.
        out: .nii or .nii.gz; for landmarks .csv or .mrk.json.
        reference: image whose grid the result lies on; for landmarks the scan they belong to, if they are voxels.
        image: INPUT is a scan: "linear" or "bspline" (cubic) interpolation.
        labels: INPUT is a label map: "nearest", or "one_hot" for each label interpolated linearly, the largest wins.
        landmarks: INPUT is a landmark file: DIR-Lab, elastix, 3D Slicer or csv.
        inverse: apply the inverse of TRANSFORM.
        fill: HU where a scan has no voxel, air by default; labels take 0.
        system: coordinates of a written .mrk.json, "LPS" or "RAS"; .csv is LPS.
    Raises: ValueError for options that do not fit, and what reading raises; both before anything is computed.
    """
    given = {"image": image, "labels": labels, "landmarks": landmarks or None}
    _check(given, out, reference, system)
    grid = None if reference is None else check_header(reference)
    content = read_landmarks_mm(input, grid) if landmarks else read_image(input)
    forward = read_transform(transform)
    way = invert_transform(forward) if inverse else forward
    if landmarks:
        moved_mm = invert_points(content, forward, way) if inverse else transform_points(way, content)
        if out.endswith(".csv"):
            write_landmarks_csv(out, moved_mm)
        else:
            write_landmarks_slicer(out, moved_mm, system=system)
    elif image is not None:
        write_image(out, resample(way, content, grid, image, fill), grid.affine)
    else:
        carried = resample_labels(way, content, grid, one_hot=labels == "one_hot")
        write_image(out, carried, grid.affine, dtype=np.int16 if carried.max() < 2**15 else np.int32)


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


def resample(transform: itk.Transform, scan: MetaTensor, grid: ImageHeader, interpolation: str, fill: float) -> Tensor:
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


def resample_labels(transform: itk.Transform, labels: MetaTensor, grid: ImageHeader, *, one_hot: bool) -> Tensor:
    """Read a label map (1, h, w, d) at the transformed points of another grid (H, W, D); 0 outside.

    Args:
        one_hot: interpolate each label's indicator linearly and take the largest, whose borders are smoother.
    Raises: ValueError if the values are no labels.
    """
    values = labels.as_tensor().unique()
    if len(values) > MAX_LABELS or not torch.equal(values, values.round()) or values[0] < 0:
        file = labels.meta["filename_or_obj"]
        raise ValueError(f"{file}: expected whole numbers from 0, at most {MAX_LABELS}, got {len(values)} values")
    if not one_hot:
        return resample(transform, labels, grid, "nearest", 0.0)
    best = torch.zeros(grid.shape)
    largest = resample(transform, _indicator(labels, 0.0), grid, "linear", 1.0)
    for value in values[values > 0]:
        share = resample(transform, _indicator(labels, float(value)), grid, "linear", 0.0)
        best = torch.where(share > largest, value, best)
        largest = torch.maximum(share, largest)
    return best


def _indicator(labels: MetaTensor, value: float) -> MetaTensor:
    return MetaTensor((labels.as_tensor() == value).float(), affine=labels.affine)


def _check(given: dict[str, str | bool | None], out: str, reference: str | None, system: str) -> None:
    """Raises: ValueError if the options of `apply` do not fit together."""
    kinds = [kind for kind, choice in given.items() if choice is not None]
    if len(kinds) != 1:
        raise ValueError(f"expected one of --image, --labels and --landmarks, got {kinds or 'none'}")
    (kind,) = kinds
    if given[kind] not in CHOICES[kind]:
        raise ValueError(f"--{kind}: expected one of {CHOICES[kind]}, got {given[kind]!r}")
    suffixes = LANDMARK_SUFFIXES if kind == "landmarks" else IMAGE_SUFFIXES
    if not out.endswith(suffixes):
        raise ValueError(f"{out}: expected a name ending in one of {suffixes} for --{kind}")
    if not Path(out).parent.is_dir():
        raise FileNotFoundError(f"{out}: the folder {Path(out).parent} does not exist")
    if kind != "landmarks" and reference is None:
        raise ValueError(f"--{kind} needs --reference, the image whose grid the result lies on")
    if system not in ("LPS", "RAS"):
        raise ValueError(f"--system: expected LPS or RAS, got {system!r}")


if __name__ == "__main__":
    fire.Fire(apply)
