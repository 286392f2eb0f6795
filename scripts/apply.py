"""Apply the result of a registration to further data: scans, label maps and landmarks."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Literal

from scripts.cli import run

CHOICES = {"image": ("linear", "bspline"), "labels": ("nearest", "one_hot"), "landmarks": (True,)}
IMAGE_SUFFIXES = (".nii", ".nii.gz")
LANDMARK_SUFFIXES = (".csv", ".mrk.json")


def apply(
    transform: str,
    input: str,
    output: str,
    reference: str | None = None,
    image: Literal["linear", "bspline"] | None = None,
    labels: Literal["nearest", "one_hot"] | None = None,
    landmarks: bool = False,
    inverse: bool = False,
    fill: float = -1000.0,
    system: Literal["LPS", "RAS"] = "LPS",
) -> None:
    """Apply TRANSFORM to INPUT and write OUTPUT.

    Scans and labels of the moving scan are warped to the grid of the fixed one; landmarks are mapped from the fixed to
    the moving scan. --inverse reverses both directions. One of --image, --labels and --landmarks says what INPUT is.

    Args:
        transform: ITK transform (transform.h5, .tfm, ANTs' .mat) or displacement field (displacement.nii.gz), fixed
            to moving points.
        input: scan, label map or landmark file.
        output: .nii or .nii.gz; for landmarks .csv or .mrk.json.
        reference: image whose grid the result lies on; for landmarks in voxels, the scan they belong to.
        image: INPUT is a scan: "linear" or "bspline" (cubic) interpolation.
        labels: INPUT is a label map: "nearest", or "one_hot" to interpolate each label linearly and take the largest.
        landmarks: INPUT is a landmark file: DIR-Lab, elastix, 3D Slicer or csv.
        inverse: apply the inverse of TRANSFORM.
        fill: HU outside the scan, air by default; labels take 0.
        system: coordinates of a written .mrk.json, "LPS" or "RAS"; .csv is LPS.
    Raises: ValueError for contradictory options, and the errors of the readers; before anything is computed.
    """
    _check({"image": image, "labels": labels, "landmarks": landmarks or None}, output, reference, system)
    if landmarks or reference is None:  # images need a reference
        _map_landmarks(transform, input, output, reference, inverse=inverse, system=system)
        return
    import numpy as np

    from bundle.apply import warp_labels, warp_scan
    from bundle.io import check_header, invert_transform, read_image, read_transform, write_image

    grid, content = check_header(reference), read_image(input)
    to_content = invert_transform(read_transform(transform)) if inverse else read_transform(transform)
    if image is not None:
        write_image(output, warp_scan(to_content, content, grid, image, fill), grid.affine)
    else:
        warped = warp_labels(to_content, content, grid, one_hot=labels == "one_hot")
        write_image(output, warped, grid.affine, dtype=np.int16 if warped.max() < 2**15 else np.int32)


def _map_landmarks(
    transform: str, input: str, output: str, reference: str | None, *, inverse: bool, system: Literal["LPS", "RAS"]
) -> None:
    from bundle.apply import invert_points, transform_points
    from bundle.io import (
        check_header,
        invert_transform,
        read_landmarks_mm,
        read_transform,
        write_landmarks_csv,
        write_landmarks_slicer,
    )

    points_mm = read_landmarks_mm(input, None if reference is None else check_header(reference))
    forward = read_transform(transform)
    if inverse:
        mapped_mm = invert_points(points_mm, forward, invert_transform(forward))
    else:
        mapped_mm = transform_points(forward, points_mm)
    if output.endswith(".csv"):
        write_landmarks_csv(output, mapped_mm)
    else:
        write_landmarks_slicer(output, mapped_mm, system=system)


def _check(given: Mapping[str, str | bool | None], output: str, reference: str | None, system: str) -> None:
    """Check the options of `apply`. Raises: ValueError, FileNotFoundError."""
    kinds = [kind for kind, choice in given.items() if choice is not None]
    if len(kinds) != 1:
        raise ValueError(f"expected one of --image, --labels and --landmarks, got {kinds or 'none'}")
    (kind,) = kinds
    if given[kind] not in CHOICES[kind]:
        raise ValueError(f"--{kind}: expected one of {CHOICES[kind]}, got {given[kind]!r}")
    suffixes = LANDMARK_SUFFIXES if kind == "landmarks" else IMAGE_SUFFIXES
    if not output.endswith(suffixes):
        raise ValueError(f"{output}: expected a name ending in one of {suffixes} for --{kind}")
    if not Path(output).parent.is_dir():
        raise FileNotFoundError(f"{output}: the folder {Path(output).parent} does not exist")
    if kind != "landmarks" and reference is None:
        raise ValueError(f"--{kind} needs --reference, the image whose grid the result lies on")
    if system not in ("LPS", "RAS"):
        raise ValueError(f"--system: expected LPS or RAS, got {system!r}")


if __name__ == "__main__":
    run(apply, old_names={"out": "output"})
