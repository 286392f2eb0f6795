"""Structures of one scan carried to another.

A contour that is deformed in space leaves its plane, so structures are carried as what they enclose: the signed
distance of the source structure at the points of each target slice, contoured in that slice.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import replace
from math import ceil

import itk
import numpy as np
import torch

from bundle.apply import displacement_on, invert_points
from bundle.geometry import apply_affine, spacing_mm, swap_ras_lps
from bundle.io import ImageHeader, extend
from bundle.radiotherapy.plane_contours import plane_contours
from bundle.radiotherapy.slice_distance import SAMPLING_MM, SliceDistance, slice_distance
from bundle.radiotherapy.structures import Structure

log = logging.getLogger(__name__)

COARSE_MM = 8.0  # of the grid that the slices which a structure reaches are looked for on
REACH_MM = 24.0  # around a structure: what lies between the points of that grid, stretched threefold


def carry_structures(
    structures: Sequence[Structure],
    to_source: itk.Transform,
    to_target: itk.Transform,
    *,
    source: ImageHeader,
    target: ImageHeader,
    name: str = "transform",
) -> list[Structure]:
    """The structures of the source scan on the slices of the target scan.

    Args:
        to_source: world of the target to world of the source, LPS mm: that of a result folder for structures of the
            moving scan.
        to_target: its inverse, for structures that are single points.
        source, target: grids of the scans; their third axis is perpendicular to the slices.
        name: of the transform, for errors.
    Returns: in the same order, with contours in the planes of the target's slices; empty where nothing lies in them.
        Structures with contours outside the source's slice planes are left out, with a warning.
    Raises: ValueError if all are left out, or for a target far outside the transform.
    """
    axes = swap_ras_lps((source.affine[:3, :3] / spacing_mm(source.affine)).T).T.numpy()
    structures, closed = _closed(structures, axes, source.spacing_mm[2])
    to_source = extend(to_source, target.corners_mm, name=name)
    contours = _on_slices(closed, to_source, target)
    carried = []
    for index, structure in enumerate(structures):
        if structure.kind == "point":
            points = swap_ras_lps(torch.from_numpy(np.concatenate(structure.contours)).double())
            mapped = swap_ras_lps(invert_points(points, to_source, to_target, name=name))
            carried.append(replace(structure, contours=[point[None] for point in mapped.numpy()]))
            continue
        found = contours.get(index, [])
        if structure.kind == "closed" and not found:
            log.warning("structure %r: nothing of it lies in the target scan", structure.name)
        carried.append(replace(structure, contours=found, kind="closed" if found else "empty"))
    return carried


def _closed(
    structures: Sequence[Structure], axes: np.ndarray, step_mm: float
) -> tuple[list[Structure], dict[int, SliceDistance]]:
    """The structures that can be carried, and the distances of the closed ones by their place among them."""
    kept: list[Structure] = []
    distances, problems = {}, []
    for structure in structures:
        if structure.kind == "closed":
            try:
                distances[len(kept)] = slice_distance(structure.contours, axes, step_mm, name=structure.name)
            except ValueError as error:
                problems.append(error)
                log.warning("%s; it is left out", error)
                continue
        kept.append(structure)
    if problems and not any(structure.contours for structure in kept):
        raise problems[0]
    return kept, distances


def _on_slices(
    distances: dict[int, SliceDistance], to_source: itk.Transform, target: ImageHeader
) -> dict[int, list[np.ndarray]]:
    """Contours (N, 3), LPS mm, of each structure in the target's slices."""
    boxes = {index: _box(distance, to_source, target) for index, distance in distances.items()}
    found: dict[int, list[np.ndarray]] = {index: [] for index in distances}
    parts = [ceil(size / SAMPLING_MM) for size in target.spacing_mm[:2]]
    fine = target.affine @ torch.diag(torch.tensor([1 / parts[0], 1 / parts[1], 1.0, 1.0], dtype=torch.float64))
    steps_mm = spacing_mm(fine)[:2].tolist()
    for number in range(target.shape[2]):
        for index, box in boxes.items():
            if box is None or not box[0][2] <= number <= box[1][2]:
                continue
            low, high = (np.array(end[:2]) * parts for end in box)
            origin = torch.tensor([*low, number], dtype=torch.float64)
            points = _mapped(to_source, (*(high - low + 1).tolist(), 1), _moved(fine, origin))[:, :, 0]
            for contour in plane_contours(distances[index].at(points), steps_mm):
                vox = np.column_stack([low + contour / steps_mm, np.full(len(contour), number)])
                found[index].append(swap_ras_lps(apply_affine(fine, torch.from_numpy(vox))).numpy())
    return found


def _box(
    distance: SliceDistance, to_source: itk.Transform, target: ImageHeader
) -> tuple[np.ndarray, np.ndarray] | None:
    """First and last voxel (3,) of the target between which a structure can lie; None if it lies elsewhere."""
    strides = [max(1, int(COARSE_MM / size)) for size in target.spacing_mm]
    shape = [-(-(size - 1) // stride) + 1 for size, stride in zip(target.shape, strides, strict=True)]
    coarse = target.affine @ torch.diag(torch.tensor([*strides, 1.0], dtype=torch.float64))
    places = _mapped(to_source, (shape[0], shape[1], shape[2]), coarse) @ distance.axes
    low, high = distance.box
    inside = np.argwhere(((places > low - REACH_MM) & (places < high + REACH_MM)).all(axis=-1))
    if not len(inside):
        return None
    first, last = (inside.min(axis=0) - 1) * strides, (inside.max(axis=0) + 1) * strides
    return first.clip(0), np.minimum(last, np.array(target.shape) - 1)


def _mapped(transform: itk.Transform, shape: tuple[int, int, int], affine: torch.Tensor) -> np.ndarray:
    """Where the voxels of a grid go, (H, W, D, 3), LPS mm."""
    grid = ImageHeader("slice", shape, affine)
    displacement = displacement_on(transform, grid)
    vox = torch.cartesian_prod(*[torch.arange(size, dtype=torch.float64) for size in shape])
    points = apply_affine(affine, vox).view(*shape, 3) + displacement.permute(1, 2, 3, 0)
    return swap_ras_lps(points).numpy()


def _moved(affine: torch.Tensor, origin_vox: torch.Tensor) -> torch.Tensor:
    """The affine of a grid that begins at another voxel."""
    moved = affine.clone()
    moved[:3, 3] = apply_affine(affine, origin_vox[None])[0]
    return moved
