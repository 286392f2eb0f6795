"""Coordinates of landmark files: stated, given by the user, or inferred from values that fit one reading only."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Literal, get_args

from torch import Tensor

from bundle.geometry import apply_affine, swap_ras_lps
from bundle.io.headers import ImageHeader

log = logging.getLogger(__name__)

LandmarkSystem = Literal["dirlab", "voxel0", "lps", "ras"]
SYSTEMS: tuple[LandmarkSystem, ...] = get_args(LandmarkSystem)
VOXELS = ("dirlab", "voxel0")
SYSTEM_HINT = "say what they are with --landmark_system dirlab (voxels from 1), voxel0 (voxels from 0), lps or ras (mm)"
OUTSIDE_VOX = 0.501  # scans extend half a voxel beyond the outermost centres (`bundle.resample`); plus rounding
SAME_MM = 0.1  # readings closer than this are the same


def check_system(system: str | None) -> LandmarkSystem | None:
    """Check the name of a system; None and "" are none. Raises: ValueError."""
    if not system:
        return None
    for known in SYSTEMS:
        if system == known:
            return known
    raise ValueError(f"landmark_system: expected one of {', '.join(SYSTEMS)}, got {system!r}")


def to_world(values: Tensor, system: LandmarkSystem, scan: ImageHeader | None) -> Tensor:
    """Points (N, 3), RAS mm, of values in a system; `scan` is needed for voxels only."""
    if system == "ras":
        return values
    if system == "lps":
        return swap_ras_lps(values)
    if scan is None:
        raise ValueError("voxel indices need their scan")
    return apply_affine(scan.affine, values - 1 if system == "dirlab" else values)  # DIR-Lab counts voxels from 1


def is_outside(points_mm: Tensor, scan: ImageHeader) -> Tensor:
    """Which points (N, 3), RAS mm, lie outside a scan: (N,) bool."""
    return ~scan.contains(points_mm, reach_vox=OUTSIDE_VOX)


def fitting_systems(values: Tensor, scan: ImageHeader) -> list[LandmarkSystem]:
    """The readings that place every point inside the scan."""
    return [system for system in SYSTEMS if not is_outside(to_world(values, system, scan), scan).any()]


def infer_system(
    path: Path, values: Tensor, usual: LandmarkSystem | None, scan: ImageHeader | None, *, is_named: bool
) -> LandmarkSystem:
    """The system of a file that states none; `usual` is the convention of its format.

    "dirlab" needs whole numbers, and DIR-Lab's file name (`is_named`) or values that no other reading places inside
    the scan. "lps" holds unless the values fit voxels of the scan as well. Values outside the scan in every reading
    take the usual one, and are then refused as such.

    Raises: ValueError with the readings that fit, if the file is ambiguous.
    """
    is_whole = bool((values == values.round()).all())
    if scan is None:
        if (usual == "lps" and not (is_whole and bool((values >= 0).all()))) or (usual == "dirlab" and is_named):
            return usual
        raise ValueError(f"{path}: three numbers a point do not say their coordinates; {SYSTEM_HINT}")
    fits = fitting_systems(values, scan)
    if usual is not None and not fits:
        return usual
    if usual == "dirlab" and is_whole and (fits == ["dirlab"] or (is_named and "dirlab" in fits)):
        return usual
    if usual == "lps" and "lps" in fits:
        lps = to_world(values, "lps", scan)
        rivals = [system for system in fits if system in VOXELS]
        if not any(float((to_world(values, rival, scan) - lps).norm(dim=1).max()) > SAME_MM for rival in rivals):
            return usual
    found = f"{' and '.join(fits) or 'none of dirlab, voxel0, lps, ras'} would place all of them inside {scan.path}"
    numbers = "whole numbers" if is_whole else "fractions"
    expected = {"lps": "LPS mm under x,y,z", "dirlab": "DIR-Lab's voxels"}.get(usual or "", "stated coordinates")
    raise ValueError(f"{path}: expected {expected}, found {numbers}, and {found}; {SYSTEM_HINT}")
