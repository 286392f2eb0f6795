"""One animated picture of a series: the members where they lie, and warped to the reference."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from monai.data import MetaTensor
from PIL import Image
from torch import Tensor

from bundle.geometry import WorldTransform
from bundle.io.atomic import atomic_path
from bundle.reports.planes import PLANES, CanonicalView, window
from bundle.resample import AIR_HU, resample
from bundle.series.volumes import no_motion

SHOWN = ("coronal", "sagittal")
COLUMNS = ("before: as scanned", "after: warped to the reference")
FRAME_MS = 250
DPI = 80
WIDTH_INCH = 6.0


class Animation:
    """Frames of `animation.gif`, a coronal and a sagittal slice through the widest lungs of the reference.

    Args:
        reference: (1, H, W, D), HU, with its affine.
        lungs: (H, W, D), mask of the reference.
    """

    def __init__(self, reference: MetaTensor, lungs: Tensor) -> None:
        shape = (reference.shape[1], reference.shape[2], reference.shape[3])
        self.view = CanonicalView(reference.affine)
        self.planes = [plane for plane in PLANES if plane.name in SHOWN]
        indices = self.view.widest_slices(lungs, shape)
        self.grids = [self.view.grid_of(plane, indices[plane.name], shape, reference.affine) for plane in self.planes]
        extents = self.view.extents_mm(shape)
        self.heights = [extents[plane.in_plane[1]] / extents[plane.in_plane[0]] for plane in self.planes]
        self.frames: list[Image.Image] = []

    def add(self, name: str, scan: MetaTensor, transform: WorldTransform) -> None:
        """Add a member: its scan (1, h, w, d), HU, and its transform from the reference."""
        size = (WIDTH_INCH, WIDTH_INCH / 2 * sum(self.heights) + 0.8)
        figure = Figure(figsize=size, dpi=DPI, layout="constrained", facecolor="white")
        canvas = FigureCanvasAgg(figure)
        rows = figure.subplots(len(self.planes), 2, gridspec_kw={"height_ratios": self.heights})
        for plane, grid, row in zip(self.planes, self.grids, rows, strict=True):
            for axes, moved in zip(row, (no_motion(), transform), strict=True):
                values = resample(scan.as_tensor().float(), moved.map_grid(*grid, scan.affine), AIR_HU)[0]
                picture = window(self.view.slice_of(values, plane, 0))
                self.view.show(axes, picture, plane, cmap="gray", vmin=0.0, vmax=1.0)
        for axes, heading in zip(rows[0], COLUMNS, strict=True):
            axes.set_title(heading, fontsize=10)
        figure.suptitle(name, fontsize=11)
        canvas.draw()
        self.frames.append(Image.fromarray(np.asarray(canvas.buffer_rgba())).convert("L"))

    def write(self, path: Path) -> None:
        """Write the animated GIF, which repeats for ever."""
        with atomic_path(path) as temporary:
            first, *rest = self.frames
            first.save(temporary, save_all=True, append_images=rest, duration=FRAME_MS, loop=0)
