"""Picture of simulated pairs: both scans and their displacement, one column per sample."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from monai.data import MetaTensor

from bundle.geometry import apply_affine
from bundle.io import atomic_path
from bundle.reports.field_colors import rgb_field
from bundle.reports.planes import PLANES, CanonicalView, window

CORONAL = PLANES[1]
ROWS = ("fixed", "moving", "displacement magnitude", "direction: red right,\ngreen anterior, blue superior")
FIELD_OF_VIEW_MM = (290.0, 280.0)  # the same for all panels
LIMIT_MM = 50.0
DIRECTION_LIMIT_MM = 25.0  # saturation of the direction colours
LANDMARK_SLAB_MM = 6.0
BAR_MM = 50.0
DPI = 90
PLATE = {"facecolor": "black", "alpha": 0.7, "linewidth": 0, "pad": 2.0}  # background that keeps text readable


def draw_simulated_motion(samples: Sequence[Mapping[Any, Any]], path: Path) -> None:
    """Write a PNG of samples of `RandSimulateMotiond`.

    Rows: the coronal slices of fixed and moving with the largest lung area and landmarks near them, the displacement
    magnitude in mm, and its direction in the colours of `rgb_field`.
    """
    figure = Figure(figsize=(3.0 * len(samples), 11.3), dpi=DPI, layout="constrained", facecolor="white")
    FigureCanvasAgg(figure)
    grid = figure.subplots(len(ROWS), len(samples), squeeze=False)
    for sample, column in zip(samples, grid.T, strict=True):
        for side, axes in zip(("fixed", "moving"), column[:2], strict=True):
            _draw_scan(axes, sample, side)
        field, mask = sample["displacement"].as_tensor(), sample["fixed_mask"]
        view, index = _view(mask)
        length = view.slice_of(field.norm(dim=0), CORONAL, index)
        image = view.show(column[2], length, CORONAL, cmap="viridis", vmin=0, vmax=LIMIT_MM)
        colours = rgb_field(view.vectors_of(field, CORONAL, index), limit_mm=DIRECTION_LIMIT_MM)
        view.show(column[3], colours, CORONAL)
        for axes in column[2:]:
            outline = view.slice_of(mask[0].as_tensor(), CORONAL, index)
            axes.contour(outline.T, levels=[0.5], colors="white", linewidths=0.8, extent=_extent(view, outline))
        for axes in column:
            _same_scale(axes)
        column[0].set_title(_heading(sample), fontsize=10)
    for axes, label in zip(grid[:, 0], ROWS, strict=True):
        axes.text(-0.03, 0.5, label, transform=axes.transAxes, rotation=90, ha="right", va="center", fontsize=10)
    figure.colorbar(image, ax=grid[2].tolist(), fraction=0.03, pad=0.01, label="mm")
    with atomic_path(path) as temporary:
        figure.savefig(temporary, format="png")


def _view(mask: MetaTensor) -> tuple[CanonicalView, int]:
    """View of the mask's grid, and index of the coronal slice with the largest mask area."""
    view = CanonicalView(mask.affine)
    shape = (mask.shape[1], mask.shape[2], mask.shape[3])
    return view, view.widest_slices(mask[0].as_tensor(), shape)[CORONAL.name]


def _draw_scan(axes: Axes, sample: Mapping[str, Any], side: str) -> None:
    scan = sample[side]
    view, index = _view(sample[f"{side}_mask"])
    picture = window(view.slice_of(scan[0].as_tensor(), CORONAL, index))
    view.show(axes, picture, CORONAL, cmap="gray", vmin=0, vmax=1)
    vox = apply_affine(scan.affine.double().inverse(), sample[f"{side}_landmarks"])
    along_mm = (vox.numpy() + 0.5) * view.spacing_mm  # axes of simulated grids are R, A, S
    near = np.abs(along_mm[:, 1] - (index + 0.5) * view.spacing_mm[1]) < LANDMARK_SLAB_MM
    axes.plot(along_mm[near, 0], along_mm[near, 2], ".", color="orange", markersize=3)
    step = view.spacing_mm
    text = f"{step[0]:.1f} x {step[1]:.1f} x {step[2]:.1f} mm"
    axes.text(0.03, 0.97, text, transform=axes.transAxes, color="white", fontsize=8, va="top", bbox=PLATE)


def _extent(view: CanonicalView, picture: np.ndarray) -> tuple[float, float, float, float]:
    width, height = picture.shape[0] * view.spacing_mm[0], picture.shape[1] * view.spacing_mm[2]
    return 0.0, float(width), 0.0, float(height)


def _same_scale(axes: Axes) -> None:
    """Centre the panel in a window of `FIELD_OF_VIEW_MM` and add a scale bar of `BAR_MM`."""
    (right, left), (low, high) = axes.get_xlim(), axes.get_ylim()
    width, height = FIELD_OF_VIEW_MM
    axes.set(frame_on=True, facecolor="black", xticks=[], yticks=[])
    axes.set_axis_on()
    x, y = (left + right) / 2, (low + high) / 2
    axes.set_xlim(x + width / 2, x - width / 2)
    axes.set_ylim(y - height / 2, y + height / 2)
    start, level = x + width / 2 - 10.0, y - height / 2 + 10.0  # same corner in every panel
    for colour, thickness in (("black", 4.0), ("white", 2.0)):
        axes.plot([start, start - BAR_MM], [level, level], color=colour, linewidth=thickness)
    axes.text(start - BAR_MM / 2, level + 6, f"{BAR_MM:.0f} mm", color="white", ha="center", fontsize=8, bbox=PLATE)


def _heading(sample: Mapping[str, Any]) -> str:
    mean_mm = float((sample["moving_landmarks"] - sample["fixed_landmarks"]).norm(dim=1).mean())
    parameters = sample["motion_parameters"]
    direction = "exhale to inhale" if parameters["swap"] else "inhale to exhale"
    return f"{direction}\ndiaphragm {max(parameters['diaphragm_mm']):.0f} mm, mean {mean_mm:.0f} mm"
