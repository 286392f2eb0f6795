"""Figures 3 and 4 of He et al. 2021 (arXiv:2106.07608): the field level by level, and the warped scan."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from torch import Tensor

from bundle.io.atomic import atomic_path
from bundle.reports.field_colors import rgb_field
from bundle.reports.planes import PLANES, CanonicalView, window

CORONAL = PLANES[1]  # contains the main direction of breathing motion
PANEL_INCH = 2.6
DPI = 110
COLOUR_PERCENTILE = 99.5  # robust to outlier voxels
RGB_LEGEND = "red, green, blue: displacement to the right, anterior, superior; grey: none"


def level_displacement_mm(ddf_vox: Tensor, affine: Tensor, shape: tuple[int, int, int]) -> tuple[Tensor, Tensor]:
    """Field of a level in RAS mm, and the affine of its grid.

    Args:
        ddf_vox: (3, h, w, d), voxels of the level's own grid.
        affine: (4, 4), network-grid voxels to fixed world (`grid_to_fixed`).
        shape: shape of the network grid: that of the level times a power of two.
    Returns: (3, h, w, d) float32 and (4, 4) float64.
    Raises: ValueError if `shape` is not a multiple of the level's shape.
    """
    level_shape = tuple(ddf_vox.shape[1:])
    factor = shape[0] // level_shape[0]
    if tuple(side * factor for side in level_shape) != tuple(shape):
        raise ValueError(f"ddf_vox: expected sides that divide {tuple(shape)} by one factor, got {level_shape}")
    # voxel o of a level coincides with voxel factor * o of the network grid (bundle.geometry): same origin
    level_affine = affine.double().cpu() @ torch.diag(torch.tensor([factor, factor, factor, 1.0], dtype=torch.float64))
    return torch.einsum("wa,ahkd->whkd", level_affine[:3, :3].float(), ddf_vox.detach().cpu().float()), level_affine


def draw_level_fields(
    path: Path, *, levels_vox: Sequence[Tensor], affine: Tensor, mask: Tensor | None = None, title: str = ""
) -> None:
    """Write a PNG of every level's field in one coronal slice, coarse to fine: magnitude above, RGB colours below.

    Args:
        path: PNG file.
        levels_vox: (3, h, w, d) of each level, coarse to fine, in voxels of its own grid; the last on the network grid.
        affine: (4, 4), network-grid voxels to fixed world (`grid_to_fixed`).
        mask: (H, W, D) on the network grid; its widest slice is drawn, the middle one if None.
        title: first line.
    """
    finest = levels_vox[-1].shape
    shape = (int(finest[1]), int(finest[2]), int(finest[3]))
    view = CanonicalView(affine)
    middle = view.widest_slices(mask, shape)[CORONAL.name]
    fields = []
    for ddf_vox in levels_vox:
        displacement_mm, level_affine = level_displacement_mm(ddf_vox, affine, shape)
        level_view = CanonicalView(level_affine)
        sides = shape[view.order[CORONAL.normal]], ddf_vox.shape[1:][view.order[CORONAL.normal]]
        fields.append((level_view, level_view.vectors_of(displacement_mm, CORONAL, middle * sides[1] // sides[0])))
    lengths = [np.linalg.norm(vectors, axis=0) for _, vectors in fields]
    limit_mm = float(np.percentile(np.concatenate([length.ravel() for length in lengths]), COLOUR_PERCENTILE)) or 1.0

    extents = view.extents_mm(shape)
    across, along = CORONAL.in_plane
    height = PANEL_INCH * extents[along] / extents[across]
    figure = Figure(figsize=(PANEL_INCH * len(fields) + 0.8, 2 * height + 0.9), dpi=DPI, layout="constrained")
    FigureCanvasAgg(figure)
    grid = figure.subplots(2, len(fields), squeeze=False)
    options = {"interpolation": "nearest"}
    for (level_view, vectors), length, column in zip(fields, lengths, grid.T, strict=True):
        image = level_view.show(column[0], length, CORONAL, cmap="viridis", vmin=0.0, vmax=limit_mm, **options)
        level_view.show(column[1], rgb_field(vectors, limit_mm=limit_mm), CORONAL, **options)
        column[0].set_title("{} × {}".format(*length.shape), fontsize=9)
    figure.colorbar(image, ax=grid[0].tolist(), label="magnitude, mm", shrink=0.8)
    figure.suptitle(title, fontsize=9)
    figure.supxlabel(RGB_LEGEND, fontsize=8)
    with atomic_path(path) as temporary:
        figure.savefig(temporary, format="png")


def draw_warped_scans(
    path: Path, *, scans_hu: dict[str, Tensor], affine: Tensor, mask: Tensor | None = None, title: str = ""
) -> None:
    """Write a PNG of scans side by side in three planes.

    Args:
        path: PNG file.
        scans_hu: (H, W, D) HU on one grid by caption, in order: fixed, moving, warped.
        affine: (4, 4), voxel to RAS mm of that grid.
        mask: (H, W, D); its widest slices are drawn, the middle ones if None.
        title: first line.
    """
    first = next(iter(scans_hu.values()))
    shape = (first.shape[0], first.shape[1], first.shape[2])
    view = CanonicalView(affine)
    indices = view.widest_slices(mask, shape)
    extents = view.extents_mm(shape)
    heights = [extents[plane.in_plane[1]] / extents[plane.in_plane[0]] for plane in PLANES]
    size = (PANEL_INCH * len(scans_hu), PANEL_INCH * sum(heights) + 0.6)
    figure = Figure(figsize=size, dpi=DPI, layout="constrained")
    FigureCanvasAgg(figure)
    grid = figure.subplots(len(PLANES), len(scans_hu), squeeze=False, gridspec_kw={"height_ratios": heights})
    for plane, row in zip(PLANES, grid, strict=True):
        for axes, volume in zip(row, scans_hu.values(), strict=True):
            picture = window(view.slice_of(volume, plane, indices[plane.name]))
            view.show(axes, picture, plane, cmap="gray", vmin=0.0, vmax=1.0)
    for axes, caption in zip(grid[0], scans_hu, strict=True):
        axes.set_title(caption, fontsize=9)
    figure.suptitle(title, fontsize=9)
    with atomic_path(path) as temporary:
        figure.savefig(temporary, format="png")
