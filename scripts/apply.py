"""Apply a registration's result again: carry a scan, labels or landmarks through a transform, or back."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Literal

import fire
import numpy as np

from bundle.apply import invert_points, transform_points, warp_labels, warp_scan
from bundle.io import (
    check_header,
    invert_transform,
    read_image,
    read_landmarks_mm,
    read_transform,
    write_image,
    write_landmarks_csv,
    write_landmarks_slicer,
)

CHOICES = {"image": ("linear", "bspline"), "labels": ("nearest", "one_hot"), "landmarks": (True,)}
IMAGE_SUFFIXES = (".nii", ".nii.gz")
LANDMARK_SUFFIXES = (".csv", ".mrk.json")


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
    if landmarks or grid is None:  # only landmarks come without a grid
        points_mm = read_landmarks_mm(input, grid)
        forward = read_transform(transform)
        way = invert_transform(forward) if inverse else forward
        moved_mm = invert_points(points_mm, forward, way) if inverse else transform_points(way, points_mm)
        if out.endswith(".csv"):
            write_landmarks_csv(out, moved_mm)
        else:
            write_landmarks_slicer(out, moved_mm, system=system)
        return
    content = read_image(input)
    way = invert_transform(read_transform(transform)) if inverse else read_transform(transform)
    if image is not None:
        write_image(out, warp_scan(way, content, grid, image, fill), grid.affine)
    else:
        carried = warp_labels(way, content, grid, one_hot=labels == "one_hot")
        write_image(out, carried, grid.affine, dtype=np.int16 if carried.max() < 2**15 else np.int32)


def _check(given: Mapping[str, str | bool | None], out: str, reference: str | None, system: str) -> None:
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
