"""Motion amplitude of every voxel of the reference over the phases of a series."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import torch
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from monai.data import MetaTensor
from torch import Tensor

from bundle.geometry import WorldTransform
from bundle.io import write_image
from bundle.io.atomic import atomic_path
from bundle.reports.planes import PLANES, CanonicalView, window
from bundle.series.fields import displacement_slabs

AXES = ("lr", "ap", "si")  # of the patient, in the order of the world's axes
NAMES = (*AXES, "3d")
PICTURE = "amplitude.png"
TITLES = ("reference", "left-right", "front-back", "head-foot", "3-D")
SHOWN = ("coronal", "sagittal")
COLOUR_PERCENTILE = 99.5  # robust to outlier voxels
DPI = 90
STEP_MM = 1.0 / 128  # of the stored int16, up to 256 mm; coarser for more, as between visits
MOST_STEPS = torch.iinfo(torch.int16).max
DEFINITION = (
    "peak to peak over the members, mm, at a point of the reference: largest minus smallest position along the "
    "patient's left-right (lr), anterior-posterior (ap) and superior-inferior (si) axis; 3d: largest distance between "
    "the positions in two members. No smoothing."
)


def peak_to_peak(positions_mm: Tensor) -> Tensor:
    """Amplitude along the world's axes and in 3-D, (4, ...), of positions or displacements (M, 3, ...), mm."""
    along = positions_mm.amax(dim=0) - positions_mm.amin(dim=0)
    largest = torch.zeros_like(along[0])
    for first, second in combinations(positions_mm, 2):
        torch.maximum(largest, (first - second).square().sum(dim=0), out=largest)
    return torch.cat([along, largest.sqrt()[None]])


def write_amplitude(
    folder: Path, transforms: Mapping[str, WorldTransform], reference: MetaTensor, lungs: Tensor
) -> dict[str, Any]:
    """Write `amplitude_lr.nii.gz`, `_ap`, `_si` and `_3d` on the reference's grid, and `amplitude.png`.

    Stored as int16 in steps of `STEP_MM`, doubled until the largest amplitude fits.

    Args:
        transforms: of all members, the reference's own (the identity) included.
        reference: (1, H, W, D) with its affine.
        lungs: (H, W, D), where the figures are taken.
    Returns: definition, and mean, 95th percentile and maximum of each map in the lungs, mm.
    """
    shape = reference.shape[1:]
    maps = [torch.empty(tuple(reversed(shape)), dtype=torch.int16).permute(2, 1, 0) for _ in NAMES]
    step = STEP_MM
    for rows, displacements_mm in displacement_slabs(transforms, shape, reference.affine):
        amplitudes = peak_to_peak(displacements_mm)
        while float(amplitudes.max()) > MOST_STEPS * step:
            step *= 2
            for stored in maps:
                stored.bitwise_right_shift_(1)
        for stored, values in zip(maps, amplitudes, strict=True):
            stored[rows] = (values / step).round_().short()
    inside = lungs > 0
    figures: dict[str, Any] = {"definition": DEFINITION}
    for name, stored in zip(NAMES, maps, strict=True):
        write_image(folder / f"amplitude_{name}.nii.gz", stored, reference.affine, dtype=np.int16, step=step)
        values = stored[inside].numpy() * step
        figures[name] = {
            "mean_mm": round(float(values.mean()), 3),
            "p95_mm": round(float(np.percentile(values, 95)), 3),
            "max_mm": round(float(values.max()), 3),
        }
    draw_amplitude(folder / PICTURE, maps, step, reference, lungs)
    return figures


def draw_amplitude(path: Path, maps: Sequence[Tensor], step_mm: float, reference: MetaTensor, lungs: Tensor) -> None:
    """Write a PNG of the maps (H, W, D), in steps, and the reference in a coronal and a sagittal slice."""
    shape = (reference.shape[1], reference.shape[2], reference.shape[3])
    view, planes = CanonicalView(reference.affine), [plane for plane in PLANES if plane.name in SHOWN]
    indices = view.widest_slices(lungs, shape)
    extents = view.extents_mm(shape)
    heights = [extents[plane.in_plane[1]] / extents[plane.in_plane[0]] for plane in planes]
    figure = Figure(figsize=(10.5, 2.0 * sum(heights) + 0.5), dpi=DPI, layout="constrained", facecolor="white")
    FigureCanvasAgg(figure)
    rows = figure.subplots(len(planes), 1 + len(maps), gridspec_kw={"height_ratios": heights})
    longest = maps[-1][lungs > 0].numpy() * step_mm
    limit_mm = max(float(np.percentile(longest, COLOUR_PERCENTILE)), STEP_MM)
    for plane, row in zip(planes, rows, strict=True):
        index = indices[plane.name]
        picture = window(view.slice_of(reference[0].as_tensor(), plane, index))
        view.show(row[0], picture, plane, cmap="gray", vmin=0.0, vmax=1.0)
        for axes, stored in zip(row[1:], maps, strict=True):
            values = view.slice_of(stored, plane, index) * step_mm
            image = view.show(axes, values, plane, cmap="cividis", vmin=0.0, vmax=limit_mm)
            inside = view.slice_of(lungs, plane, index) > 0
            if inside.any() and not inside.all():
                steps = view.spacing_mm[list(plane.in_plane)]
                x, y = [(np.arange(size) + 0.5) * step for size, step in zip(inside.shape, steps, strict=True)]
                axes.contour(x, y, inside.T, levels=[0.5], colors="white", linewidths=0.6)
    for axes, heading in zip(rows[0], TITLES, strict=True):
        axes.set_title(heading, fontsize=10)
    figure.colorbar(image, ax=rows[:, 1:].ravel().tolist(), shrink=0.8, label="peak to peak, mm")
    with atomic_path(path) as temporary:
        figure.savefig(temporary, format="png")
