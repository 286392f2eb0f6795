"""Read landmark files: see `bundle.io.landmarks.formats` for the formats and their coordinates."""

from __future__ import annotations

import logging
from pathlib import Path

import torch
from torch import Tensor

from bundle.geometry import apply_affine
from bundle.io.headers import ImageHeader
from bundle.io.landmarks.formats import DIRLAB_NAME, read_table
from bundle.io.landmarks.points import Landmarks
from bundle.io.landmarks.system import VOXELS, check_system, infer_system, is_outside, to_world

log = logging.getLogger(__name__)


def read_landmarks(path: str | Path, scan: ImageHeader | None, *, system: str | None = None) -> Landmarks:
    """Read landmarks of a scan.

    Args:
        scan: converts voxel indices to mm and bounds the points; None: formats in mm only, without bounds.
        system: "dirlab" (voxels from 1), "voxel0" (voxels from 0), "lps" or "ras" (mm): coordinates of a file that
            states none. Files that state theirs (3D Slicer, elastix) keep them, with a warning if `system` differs.
    Raises:
        FileNotFoundError: no such file.
        ValueError: unknown format or system; coordinates that are not stated and fit several systems; voxel indices
            without a scan; no landmarks; a row without three numbers (with its line); landmarks outside the scan (how
            many, and the first one).
    """
    path, given = Path(path), check_system(system)
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such landmark file")
    table = read_table(path, any_suffix=given is not None)
    if table.stated is not None and given not in (None, table.stated):
        log.warning(
            "%s: the file states its coordinates (%s); landmark_system %s is ignored", path, table.stated, given
        )
    is_named = DIRLAB_NAME.search(path.name) is not None
    used = table.stated or given or infer_system(path, table.values, table.usual, scan, is_named=is_named)
    if used in VOXELS and scan is None:
        raise ValueError(f"{path}: these landmarks are voxel indices: expected their scan, got none")
    points_mm = to_world(table.values, used, scan)
    if scan is not None:
        _check_inside(path, points_mm, scan)
    if table.left_out:
        numbers = ", ".join(map(str, table.left_out))
        log.info("%s: left out as undefined or not selected: point %s", path, numbers)
    return Landmarks(points_mm, table.names if any(map(any, table.names)) else (), table.left_out)


def read_landmarks_mm(path: str | Path, scan: ImageHeader | None, *, system: str | None = None) -> Tensor:
    """Points (N, 3), RAS mm, float64, of `read_landmarks`."""
    return read_landmarks(path, scan, system=system).points_mm


def _check_inside(path: Path, points_mm: Tensor, scan: ImageHeader) -> None:
    outside = torch.nonzero(is_outside(points_mm, scan)).flatten().tolist()
    if outside:
        first = outside[0]
        vox = apply_affine(torch.linalg.inv(scan.affine), points_mm)
        where = ", ".join(f"{value:.1f}" for value in vox[first].tolist())
        raise ValueError(
            f"{path}: {len(outside)} of {len(points_mm)} landmarks lie outside {scan.path} of shape {scan.shape}; "
            f"the first is number {first + 1}, at voxel ({where}); "
            "check that they belong to this scan and use the coordinates of their format"
        )
