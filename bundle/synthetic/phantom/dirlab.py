"""Write phantom cases in DIR-Lab's raw format, the format that `bundle.io.dirlab` reads."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray

from bundle.geometry import apply_affine
from bundle.io import atomic_path
from bundle.io.dirlab import GRIDS, HU_OFFSET, SLICE_MM, Collection
from bundle.resample import AIR_HU, resample
from bundle.synthetic.phantom.case import PhantomCase

RAW_PADDING = -2000  # outside the scanner's circular field of view
SLAB_SLICES = 16

Phase = Literal["inhale", "exhale"]


def write_dirlab_case(
    case: PhantomCase,
    directory: str | Path,
    number: int,
    *,
    collection: Collection = "COPDgene",
    shape: tuple[int, int, int] | None = None,
    spacing_mm: tuple[float, float, float] | None = None,
) -> Path:
    """Write a phantom as raw DIR-Lab case `number` and return its folder.

    Headerless int16, x fastest, first voxel at right-anterior-superior; landmarks rounded to 1-based indices.

    Args:
        case: resampled from its own grids.
        directory: parent of the case's folder, which is named as in the collection.
        number: 1 to 10; determines the file names.
        collection: determines the file names.
        shape, spacing_mm: grid of both scans; default: as published for this case.
    Raises: ValueError if a landmark lies outside the grid: use a larger grid or a smaller patient (`body_scale`).
    """
    *published, xy_mm = GRIDS[collection][number]
    shape = shape or (published[0], published[1], published[2])
    spacing_mm = spacing_mm or (xy_mm, xy_mm, SLICE_MM)
    folder = Path(directory) / dirlab_folder(number, collection)
    corners = _corners_mm(case, np.array(shape) * np.array(spacing_mm))
    scans: tuple[tuple[Phase, NDArray, NDArray, NDArray], ...] = (
        ("inhale", case.fixed, case.fixed_affine, case.fixed_landmarks_mm),
        ("exhale", case.moving, case.moving_affine, case.moving_landmarks_mm),
    )
    for (phase, scan, scan_affine, landmarks_mm), corner in zip(scans, corners, strict=True):
        image, points = (folder / name for name in dirlab_names(number, collection, phase))
        affine = np.diag([*(-np.array(spacing_mm)), 1.0])
        affine[:3, 3] = corner - 0.5 * np.array(spacing_mm)
        indices = np.rint((landmarks_mm - affine[:3, 3]) / np.diag(affine)[:3]).astype(int)
        outside = ((indices < 0) | (indices >= np.array(shape))).any(axis=1)
        if outside.any():
            raise ValueError(f"shape {shape} at {spacing_mm} mm: {outside.sum()} landmarks of {phase} lie outside it")
        raw = _resample_raw(scan, scan_affine, affine, shape)
        image.parent.mkdir(parents=True, exist_ok=True)
        points.parent.mkdir(parents=True, exist_ok=True)
        with atomic_path(image) as temporary:
            raw.T.tofile(temporary)  # (k, j, i) in C order: x fastest
        with atomic_path(points) as temporary:
            temporary.write_text("".join(f"{i}\t{j}\t{k}\t\n" for i, j, k in (indices + 1).tolist()))
    return folder


def dirlab_folder(number: int, collection: Collection) -> str:
    """Name of the unpacked folder of a case."""
    if collection == "COPDgene":
        return f"copd{number}"
    return "Case8Deploy" if number == 8 else f"Case{number}Pack"


def dirlab_names(number: int, collection: Collection, phase: Phase) -> tuple[str, str]:
    """Image and landmark file of one phase, relative to the case's folder."""
    if collection == "COPDgene":
        breath = "iBH" if phase == "inhale" else "eBH"
        return f"copd{number}_{breath}CT.img", f"copd{number}_300_{breath}_xyz_r1.txt"
    time = "T00" if phase == "inhale" else "T50"
    if number > 5:
        return f"Images/case{number}_{time}.img", f"extremePhases/case{number}_dirLab300_{time}_xyz.txt"
    suffix = "_s" if number == 1 else "-ssm"
    return f"Images/case{number}_{time}{suffix}.img", f"ExtremePhases/Case{number}_300_{time}_xyz.txt"


def _corners_mm(case: PhantomCase, extent_mm: NDArray) -> tuple[NDArray, NDArray]:
    """Right-anterior-superior corner (the largest RAS coordinates) of both fields of view.

    DIR-Lab files have no origin. Both scans share one where the lungs allow it, so that displacements of voxel indices
    equal those of the phantom; each field of view is shifted only as far as its own lungs require.
    """
    boxes = [
        (points.min(axis=0) - 10.0, points.max(axis=0) + 10.0)
        for points in (case.fixed_landmarks_mm, case.moving_landmarks_mm)
    ]
    low = np.minimum(boxes[0][0], boxes[1][0])
    high = np.maximum(boxes[0][1], boxes[1][1])
    common = 0.5 * (low + high + extent_mm)
    fixed, moving = (
        np.where(top - bottom < extent_mm, np.clip(common, top, bottom + extent_mm), 0.5 * (bottom + top + extent_mm))
        for bottom, top in boxes
    )
    return fixed, moving


def _resample_raw(
    scan: NDArray, scan_affine: NDArray, affine: NDArray, shape: tuple[int, int, int]
) -> NDArray[np.int16]:
    """Resample a scan to a grid along the same axes: raw values (X, Y, Z), int16 little-endian."""
    volume = torch.from_numpy(scan.astype(np.float32))[None]
    to_scan = torch.from_numpy(np.linalg.inv(scan_affine) @ affine)
    columns, rows = torch.arange(shape[0], dtype=torch.float32), torch.arange(shape[1], dtype=torch.float32)
    radius = (columns[:, None] - columns.mean()) ** 2 / (0.5 * shape[0]) ** 2
    outside = radius + (rows[None] - rows.mean()) ** 2 / (0.5 * shape[1]) ** 2 > 1.0
    raw = np.empty(shape, "<i2")
    for start in range(0, shape[2], SLAB_SLICES):
        slices = torch.arange(start, min(start + SLAB_SLICES, shape[2]), dtype=torch.float32)
        points = torch.stack(torch.meshgrid(columns, rows, slices, indexing="ij"))
        mapped = apply_affine(to_scan, points.flatten(1).T).T.reshape(points.shape)
        values = resample(volume, mapped, AIR_HU)[0].round() + HU_OFFSET
        values[outside] = RAW_PADDING
        raw[:, :, start : start + len(slices)] = values.numpy().astype("<i2")
    return raw
