"""Overview picture of a registration."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.image import AxesImage
from monai.data import MetaTensor
from torch import Tensor

from bundle.geometry import WorldTransform
from bundle.io.atomic import atomic_path
from bundle.reports.planes import PLANES, CanonicalView, Plane, window
from bundle.resample import AIR_HU, resample

COLUMNS = ("before: moving on fixed", "after: warped on fixed", "displacement, mm")
ARROW_STEP_MM = 16.0
COLOUR_PERCENTILE = 99.5  # robust to outlier voxels
DPI = 90
PNG_LEVEL = 2  # of 9: a tenth larger than usual, in half the time


def draw_overview(
    path: Path,
    *,
    fixed: MetaTensor,
    moving: MetaTensor,
    warped: MetaTensor,
    transform: WorldTransform,
    mask: Tensor | None = None,
    title: str = "",
) -> None:
    """Write a PNG of fixed (green) with moving and with warped (magenta), and of the field, in three planes.

    Grey indicates agreement. Slices are the widest ones of the mask, or the middle ones; the aligned moving scan and
    the field are computed in these slices only. Arrows point from a fixed point to its counterpart in moving, true to
    scale; oblique scans are shown along their own axes.

    Args:
        path: PNG file.
        fixed, warped: (1, H, W, D) HU on the fixed grid.
        moving: (1, h, w, d) HU on its own grid.
        transform: fixed world to moving world.
        mask: (H, W, D), fixed lung region; drawn as outline and used for the colour scale.
        title: first line, for instance the scores.
    Raises: ValueError if a volume is not on the fixed grid.
    """
    shape = (fixed.shape[1], fixed.shape[2], fixed.shape[3])
    _check_shapes(shape, warped=warped[0], mask=mask)
    view = CanonicalView(fixed.affine)
    indices = view.widest_slices(mask, shape)
    grids = {plane.name: view.grid_of(plane, indices[plane.name], shape, fixed.affine) for plane in PLANES}
    fields = {plane.name: view.vectors_of(transform.displacement_mm(*grids[plane.name]), plane, 0) for plane in PLANES}
    outlines = {
        plane.name: None if mask is None else view.slice_of(mask, plane, indices[plane.name]) > 0 for plane in PLANES
    }
    vmax = _colour_limit_mm(fields, outlines)

    extents = view.extents_mm(shape)
    heights = [extents[plane.in_plane[1]] / extents[plane.in_plane[0]] for plane in PLANES]
    figure = Figure(figsize=(10.5, 3.2 * sum(heights) + 0.9), dpi=DPI, layout="constrained", facecolor="white")
    FigureCanvasAgg(figure)
    grid = figure.subplots(3, 3, gridspec_kw={"height_ratios": heights})
    for plane, row in zip(PLANES, grid, strict=True):
        below = window(view.slice_of(fixed[0], plane, indices[plane.name]))
        before = view.slice_of(_aligned(moving, transform, *grids[plane.name]), plane, 0)
        after = view.slice_of(warped[0], plane, indices[plane.name])
        for axes, picture in zip(row[:2], (before, after), strict=True):
            view.show(axes, overlay(below, window(picture)), plane)
        image = _draw_field(row[2], view, plane, fields[plane.name], outlines[plane.name], vmax)
    figure.colorbar(image, ax=grid[:, 2].tolist(), fraction=0.05, shrink=0.5)
    for axes, heading in zip(grid[0], COLUMNS, strict=True):
        axes.set_title(heading, fontsize=10)
    if title:
        figure.suptitle(title, fontsize=11)
    with atomic_path(path) as temporary:
        figure.savefig(temporary, format="png", pil_kwargs={"compress_level": PNG_LEVEL})


def _aligned(moving: MetaTensor, transform: WorldTransform, shape: tuple[int, int, int], affine: Tensor) -> Tensor:
    """The moving scan on a small grid (H, W, D) of the fixed world, through the initial alignment only."""
    points_vox = transform.affine_only.map_grid(shape, affine, moving.affine)
    ends = points_vox.flatten(1).floor().long()
    low, high = ends.amin(dim=1).sub(1).clamp_min(0), ends.amax(dim=1).add(3)
    part = moving.as_tensor()[(slice(None), *(slice(*side) for side in zip(low.tolist(), high.tolist(), strict=True)))]
    if part.numel() == 0:  # the plane misses the moving scan
        return torch.full(shape, AIR_HU)
    return resample(part.float(), points_vox - low.view(3, 1, 1, 1), AIR_HU)[0]


def overlay(fixed: np.ndarray, moving: np.ndarray) -> np.ndarray:
    """Combine two grey pictures in [0, 1] to RGB: fixed is green, moving magenta, agreement grey."""
    return np.stack([moving, fixed, moving], axis=-1)


def _draw_field(
    axes: Axes, view: CanonicalView, plane: Plane, vectors: np.ndarray, outline: np.ndarray | None, vmax: float
) -> AxesImage:
    image = view.show(axes, np.linalg.norm(vectors, axis=0), plane, cmap="viridis", vmin=0.0, vmax=vmax)
    spacing = view.spacing_mm[list(plane.in_plane)]
    x, y = [(np.arange(size) + 0.5) * step for size, step in zip(vectors.shape[1:], spacing, strict=True)]
    if outline is not None and outline.any() and not outline.all():
        axes.contour(x, y, outline.T, levels=[0.5], colors="white", linewidths=0.6)
    every = [max(1, round(ARROW_STEP_MM / step)) for step in spacing]
    thinned = (slice(every[0] // 2, None, every[0]), slice(every[1] // 2, None, every[1]))
    across, along = [vectors[axis][thinned].T for axis in plane.in_plane]
    limits = axes.get_xlim(), axes.get_ylim()
    axes.quiver(
        x[thinned[0]],
        y[thinned[1]],
        across,
        along,
        angles="xy",
        scale_units="xy",
        scale=1.0,
        width=0.004,
        color="white",
        edgecolor="black",
        linewidth=0.4,
    )
    axes.set(xlim=limits[0], ylim=limits[1])
    return image


def _colour_limit_mm(fields: dict[str, np.ndarray], outlines: dict[str, np.ndarray | None]) -> float:
    lengths = []
    for name, vectors in fields.items():
        length = np.linalg.norm(vectors, axis=0)
        outline = outlines[name]
        lengths.append(length[outline] if outline is not None and outline.any() else length.ravel())
    return max(float(np.percentile(np.concatenate(lengths), COLOUR_PERCENTILE)), 1e-3)


def _check_shapes(expected: tuple[int, int, int], **volumes: Tensor | None) -> None:
    for name, volume in volumes.items():
        if volume is not None and tuple(volume.shape) != expected:
            raise ValueError(f"{name}: expected shape {expected} on the fixed grid, got {tuple(volume.shape)}")
