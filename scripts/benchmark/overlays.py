"""Picture of a pair with the result of each method."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from torch import Tensor

from bundle.io.atomic import atomic_path
from bundle.reports.overview import overlay
from bundle.reports.planes import PLANES, CanonicalView, window
from bundle.resample import AIR_HU, resample_displaced

CORONAL = PLANES[1]  # contains the main direction of breathing motion
MAX_COLUMNS = 5
PANEL_INCH = 2.5
DPI = 100


def draw_benchmark_overlays(
    path: Path,
    *,
    fixed: Tensor,
    moving: Tensor,
    affine: Tensor,
    moving_affine: Tensor,
    mask: Tensor,
    displacements_mm: Mapping[str, Tensor],
    title: str = "",
) -> None:
    """Write a PNG with a panel per method: fixed (green) and warped (magenta) in the widest coronal slice of the mask.

    Grey indicates agreement.

    Args:
        path: PNG file.
        fixed: (H, W, D) HU.
        moving: (h, w, d) HU on its own grid.
        affine, moving_affine: (4, 4), voxel to RAS mm, of the two grids.
        mask: (H, W, D), fixed lung mask.
        displacements_mm: (3, H, W, D), RAS mm, field of each method by panel heading.
        title: first line.
    """
    view = CanonicalView(affine)
    shape = (fixed.shape[0], fixed.shape[1], fixed.shape[2])
    index = view.widest_slices(mask, shape)[CORONAL.name]
    extents = view.extents_mm(shape)
    height = extents[CORONAL.in_plane[1]] / extents[CORONAL.in_plane[0]]
    columns = min(len(displacements_mm), MAX_COLUMNS)
    rows = math.ceil(len(displacements_mm) / columns)
    figure = Figure(
        figsize=(PANEL_INCH * columns, (PANEL_INCH * height + 0.4) * rows + 0.25),
        dpi=DPI,
        layout="constrained",
        facecolor="white",
    )
    FigureCanvasAgg(figure)
    grid = figure.subplots(rows, columns, squeeze=False).ravel()
    for axes in grid[len(displacements_mm) :]:
        axes.set_axis_off()
    below = window(view.slice_of(fixed, CORONAL, index))
    for axes, (heading, displacement_mm) in zip(grid, displacements_mm.items(), strict=False):
        warped = resample_displaced(moving[None].float(), moving_affine, displacement_mm, affine, AIR_HU)[0]
        view.show(axes, overlay(below, window(view.slice_of(warped, CORONAL, index))), CORONAL)
        axes.set_title(heading, fontsize=9)
    if title:
        figure.suptitle(title, fontsize=10)
    with atomic_path(path) as temporary:
        figure.savefig(temporary, format="png")
