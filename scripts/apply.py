"""Apply the result of a registration to further data: scans, label maps and landmarks."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Literal

sys.path.insert(0, str(Path(__file__).absolute().parents[1]))  # run as a file, from any folder

from scripts.cli import run

CHOICES = {"image": ("linear", "bspline"), "labels": ("nearest", "one_hot"), "landmarks": (True,)}
USED_BY = {"fill": "image", "landmark_system": "landmarks"}
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
    fill: float | None = None,
    system: Literal["LPS", "RAS"] = "LPS",
    landmark_system: Literal["dirlab", "voxel0", "lps", "ras"] | None = None,
    input_series: str | None = None,
    reference_series: str | None = None,
) -> None:
    """Apply TRANSFORM to INPUT and write OUTPUT.

    Scans and labels of the moving scan are warped to the grid of the fixed one; landmarks are mapped from the fixed to
    the moving scan. --inverse reverses both directions. One of --image, --labels and --landmarks says what INPUT is.

    Args:
        transform: ITK transform (transform.h5, .tfm, ANTs' .mat), displacement field (displacement.nii.gz) or DICOM
            Deformable Spatial Registration, fixed to moving points.
        input: scan, label map or landmark file.
        output: .nii or .nii.gz; for landmarks .csv or .mrk.json.
        reference: image whose grid the result lies on; for landmarks in voxels, the scan they belong to.
        image: INPUT is a scan: "linear" or "bspline" (cubic) interpolation.
        labels: INPUT is a label map: "nearest", or "one_hot" to interpolate each label linearly and take the largest.
        landmarks: INPUT is a landmark file: DIR-Lab, elastix, 3D Slicer or csv.
        inverse: apply the inverse of TRANSFORM.
        fill: value outside a scan; by default -1000 for a scan in HU, and 0 for a dose and other images. Labels take 0.
        system: coordinates of a written .mrk.json, "LPS" or "RAS"; .csv is LPS.
        landmark_system: coordinates of a landmark file that states none: "dirlab" (voxels from 1), "voxel0" (voxels
            from 0), "lps" or "ras" (mm).
        input_series: series of the DICOM folder INPUT, of several: its SeriesInstanceUID, or a regular expression that
            occurs in its SeriesDescription, in any case; "#" and a name choose one of its phases: "UID#30".
        reference_series: series of the DICOM folder REFERENCE, given in the same way.
    Raises: ValueError for contradictory options, and the errors of the readers; before anything is computed.
    """
    kinds = {"image": image, "labels": labels, "landmarks": landmarks or None}
    _check(kinds, output, reference, system, {"fill": fill, "landmark_system": landmark_system})
    from bundle.formats import check_files

    check_files(  # before the seconds that torch takes to load
        {"reference": reference, "input": input if image else None},
        {"transform": transform},
        {"reference": reference_series, "input": input_series},
    )
    if landmarks or reference is None:  # images need a reference
        if input_series:
            raise ValueError(f"{input}: expected a DICOM folder to choose series {input_series!r} from, got landmarks")
        _map_landmarks(
            transform,
            input,
            output,
            reference,
            reference_series,
            inverse=inverse,
            system=system,
            landmark_system=landmark_system,
        )
        return
    from bundle.apply import outside_value, warp_labels, warp_scan
    from bundle.io import check_header, extend, invert_transform, read_image, read_labels, read_transform, write_image
    from bundle.io.dicom_objects import check_frames

    grid = check_header(reference, reference_series)
    check_frames(transform, fixed=(reference, reference_series), moving=(input, input_series), inverse=inverse)
    content = read_labels(input, input_series) if image is None else read_image(input, input_series)
    to_content = read_transform(transform)
    if inverse:
        to_content = invert_transform(to_content, name=transform)
    to_content = extend(to_content, grid.corners_mm, name=transform)
    if image is not None:
        outside = outside_value(content) if fill is None else fill
        write_image(output, warp_scan(to_content, content, grid, image, outside), grid.affine)
    else:
        warped = warp_labels(to_content, content, grid, one_hot=labels == "one_hot").numpy()
        write_image(output, warped, grid.affine, dtype=warped.dtype.type)


def _map_landmarks(
    transform: str,
    input: str,
    output: str,
    reference: str | None,
    reference_series: str | None,
    *,
    inverse: bool,
    system: Literal["LPS", "RAS"],
    landmark_system: str | None,
) -> None:
    from bundle.apply import invert_points
    from bundle.io import (
        check_header,
        invert_transform,
        outside_fields,
        read_landmarks,
        read_transform,
        transform_points,
        write_landmarks_csv,
        write_landmarks_slicer,
    )

    scan = None if reference is None else check_header(reference, reference_series)
    landmarks = read_landmarks(input, scan, system=landmark_system)
    forward = read_transform(transform)
    points_mm = landmarks.points_mm
    if inverse:
        points_mm = invert_points(points_mm, forward, invert_transform(forward, name=transform), name=transform)
    outside = outside_fields(forward, points_mm).nonzero().flatten() + 1
    if len(outside):
        numbers = ", ".join(map(str, outside.tolist()))
        raise ValueError(f"{input}: expected points inside the displacement field of {transform}, outside: {numbers}")
    mapped_mm = points_mm if inverse else transform_points(forward, points_mm)
    if output.endswith(".csv"):
        write_landmarks_csv(output, mapped_mm, names=landmarks.names)
    else:
        write_landmarks_slicer(output, mapped_mm, system=system, names=landmarks.names)


def _check(
    given: Mapping[str, str | bool | None],
    output: str,
    reference: str | None,
    system: str,
    others: Mapping[str, str | float | None],
) -> None:
    """Check the options of `apply`; `others` are those of one kind only. Raises: ValueError, FileNotFoundError."""
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
    if system == "RAS" and not output.endswith(".mrk.json"):
        raise ValueError(f"{output}: expected a .mrk.json for --system RAS; .csv is LPS")
    for option, needed in USED_BY.items():
        if others[option] is not None and kind != needed:
            raise ValueError(f"--{option}: expected --{needed}, got --{kind}, which does not use it")


if __name__ == "__main__":
    run(apply, old_names={"out": "output"})
