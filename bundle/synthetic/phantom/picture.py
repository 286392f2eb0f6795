"""Picture of a phantom case: both scans, landmarks and displacement."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from torch import Tensor

from bundle.io import atomic_path
from bundle.reports.overview import overlay
from bundle.reports.planes import PLANES, CanonicalView, Plane, window
from bundle.resample import AIR_HU, resample_displaced
from bundle.synthetic.phantom import PhantomCase

COLUMNS = (
    "fixed (inhale)",
    "moving (exhale)",
    "before: moving on fixed",
    "after: warped by ground truth",
    "ground-truth field, mm",
)
LANDMARK_SLAB_MM = 5.0  # maximum distance of drawn landmarks from the slice
DPI = 75


def draw_phantom(case: PhantomCase, path: Path) -> None:
    """Write a PNG with one row per plane, all columns on the fixed grid; dots are landmarks near the slice."""
    affine = torch.from_numpy(case.fixed_affine)
    fixed, mask = torch.from_numpy(case.fixed.astype(np.float32)), torch.from_numpy(case.fixed_mask)
    field_mm = torch.from_numpy(case.displacement_mm)
    before, after = (_moving_at(case, shift_mm) for shift_mm in (torch.zeros_like(field_mm), field_mm))
    view = CanonicalView(affine)
    shape = (fixed.shape[0], fixed.shape[1], fixed.shape[2])
    indices = view.widest_slices(mask, shape)
    extents = view.extents_mm(shape)
    heights = [extents[plane.in_plane[1]] / extents[plane.in_plane[0]] for plane in PLANES]
    figure = Figure(figsize=(16.0, 3.1 * sum(heights) + 0.5), dpi=DPI, layout="constrained", facecolor="white")
    FigureCanvasAgg(figure)
    grid = figure.subplots(3, 5, gridspec_kw={"height_ratios": heights})
    length = field_mm.norm(dim=0)
    vmax = float(length[mask > 0].max())
    for plane, row in zip(PLANES, grid, strict=True):
        index = indices[plane.name]
        greys = [window(view.slice_of(volume, plane, index)) for volume in (fixed, before, after)]
        view.show(row[0], greys[0], plane, cmap="gray", vmin=0, vmax=1)
        view.show(row[1], greys[1], plane, cmap="gray", vmin=0, vmax=1)
        _draw_landmarks(row[0], view, plane, index, case.fixed_landmarks_mm, case)
        _draw_landmarks(row[1], view, plane, index, case.moving_landmarks_mm, case)
        view.show(row[2], overlay(greys[0], greys[1]), plane)
        view.show(row[3], overlay(greys[0], greys[2]), plane)
        image = view.show(row[4], view.slice_of(length, plane, index), plane, cmap="viridis", vmin=0, vmax=vmax)
    figure.colorbar(image, ax=grid[:, 4].tolist(), fraction=0.05, shrink=0.5)
    for axes, heading in zip(grid[0], COLUMNS, strict=True):
        axes.set_title(heading, fontsize=11)
    with atomic_path(path) as temporary:
        figure.savefig(temporary, format="png")


def _moving_at(case: PhantomCase, shift_mm: Tensor) -> Tensor:
    """Moving scan, HU, sampled at x + shift(x) for every fixed voxel x."""
    moving = torch.from_numpy(case.moving.astype(np.float32))[None]
    affine, moving_affine = torch.from_numpy(case.fixed_affine), torch.from_numpy(case.moving_affine)
    return resample_displaced(moving, moving_affine, shift_mm, affine, AIR_HU)[0]


def _draw_landmarks(
    axes: Axes, view: CanonicalView, plane: Plane, index: int, landmarks_mm: np.ndarray, case: PhantomCase
) -> None:
    """Draw landmarks near a slice of the fixed grid as dots, in the mm of `view.show`."""
    corners = np.stack([case.fixed_affine[:3, 3], case.fixed_affine[:3] @ [*(np.array(case.fixed.shape) - 1), 1]])
    along_mm = landmarks_mm - corners.min(axis=0) + 0.5 * view.spacing_mm  # phantom grids are axis-aligned
    near = np.abs(along_mm[:, plane.normal] - (index + 0.5) * view.spacing_mm[plane.normal]) < LANDMARK_SLAB_MM
    width, height = plane.in_plane
    axes.plot(along_mm[near, width], along_mm[near, height], ".", color="orange", markersize=3)
