"""Pictures of maps of lung function, for reports and documents."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import BoundaryNorm, ListedColormap
from matplotlib.figure import Figure
from numpy.typing import NDArray
from torch import Tensor

from bundle.function.breath import Breath
from bundle.function.maps import MapKind
from bundle.function.measures.response import CLASSES, COLOURS
from bundle.io import atomic_path
from bundle.reports.planes import OUTLINED, PLANES, CanonicalView, Plane, window

DPI = 80
PERCENTILES = (1.0, 99.0)  # of the lung's values: the ends of the colour scale
COLOUR_MAPS = {"sequential": "cividis", "diverging": "PuOr_r", "share": "cividis"}  # all readable without red and green
BAR_MM = 50.0
COLUMNS = 4  # of the summary


@dataclass(frozen=True)
class Scale:
    """Colours of a map: ends of the scale, and for classes their colours."""

    low: float
    high: float
    colour_map: str | ListedColormap

    @classmethod
    def of(cls, kind: MapKind, values: NDArray) -> Scale:
        """The scale of a map by its values (n,)."""
        if kind.colours == "classes":
            return cls(0.5, len(CLASSES) + 0.5, ListedColormap([np.array(COLOURS[number]) / 255 for number in CLASSES]))
        defined = values[np.isfinite(values)]
        low, high = np.percentile(defined, PERCENTILES) if len(defined) else (0.0, 1.0)
        if kind.colours == "diverging":
            high = max(abs(low), abs(high))
            low = -high
        elif kind.colours == "share":
            low, high = 0.0, 1.0
        elif kind.is_ventilation or kind.name == "adi":
            low = min(low, 0.0)
        return cls(float(low), float(max(high, low + 1e-6)), COLOUR_MAPS[kind.colours])


@dataclass(frozen=True)
class Slices:
    """Slices of one map: pictures (width, height) by the name of the plane."""

    kind: MapKind
    scale: Scale
    pictures: dict[str, NDArray]


class MapPictures:
    """Draws the maps of one breath over the fixed scan, in the slices with the most lung.

    Args:
        breath: the lungs and both scans.
        direction: of the maps, for the line below each title.
    """

    def __init__(self, breath: Breath, direction: str) -> None:
        self.breath, self.direction = breath, direction
        self.view = CanonicalView(breath.affine)
        inside = torch.from_numpy(breath.inside)
        self.indices = self.view.widest_slices(inside, breath.inside.shape)
        fixed = breath.inhale_hu if breath.exhale == "moving" else breath.exhale_hu
        self.below = {plane.name: window(self._slice(torch.from_numpy(fixed), plane)) for plane in PLANES}

    def slices_of(self, kind: MapKind, values: NDArray) -> Slices:
        """The slices of a map by its values (n,) in the lung voxels."""
        volume = np.full(self.breath.inside.shape, np.nan, np.float32)
        volume[self.breath.inside] = values
        pictures = {plane.name: self._slice(torch.from_numpy(volume), plane).copy() for plane in PLANES}
        return Slices(kind, Scale.of(kind, values), pictures)

    def draw(self, path: Path, slices: Slices, smoothing: str) -> None:
        """Write a PNG of one map in three planes; `smoothing` in words, for the line below its title."""
        sizes = self.view.extents_mm(self.breath.inside.shape)
        widths = [sizes[plane.in_plane[0]] for plane in PLANES]
        height = max(sizes[plane.in_plane[1]] for plane in PLANES) / sum(widths) * 10.5
        figure, grid = _figure((11.5, height + 1.2), (1, 3), {"width_ratios": widths})
        for plane, axes in zip(PLANES, grid[0], strict=True):
            self._draw(axes, plane, slices)
            axes.set_title(plane.name, fontsize=9)
        _colour_bar(figure, grid[0].tolist(), slices)
        figure.suptitle(f"{slices.kind.title}\n{self.direction}; {smoothing}", fontsize=10)
        with atomic_path(path) as temporary:
            figure.savefig(temporary, format="png")

    def draw_summary(self, path: Path, maps: Sequence[Slices], title: str, smoothing: str) -> None:
        """Write a PNG of all maps in the coronal slice; `smoothing` in words, for the line below its title."""
        plane = PLANES[1]
        sizes = self.view.extents_mm(self.breath.inside.shape)
        columns = min(COLUMNS, len(maps))
        rows = -(-len(maps) // columns)
        height = 3.0 * sizes[plane.in_plane[1]] / sizes[plane.in_plane[0]] + 1.2
        figure, grid = _figure((3.3 * columns, rows * height + 0.6), (rows, columns), {})
        for number, axes in enumerate(grid.flat):
            axes.set_axis_off()
            if number < len(maps):
                self._draw(axes, plane, maps[number])
                axes.set_title(maps[number].kind.title.replace(" (", "\n("), fontsize=8)
                _colour_bar(figure, [axes], maps[number], below=True)
        figure.suptitle(f"{title}\n{self.direction}; {smoothing}", fontsize=10)
        with atomic_path(path) as temporary:
            figure.savefig(temporary, format="png")

    def _slice(self, volume: Tensor, plane: Plane) -> NDArray:
        return self.view.slice_of(volume, plane, self.indices[plane.name])

    def _draw(self, axes: Axes, plane: Plane, slices: Slices) -> None:
        self.view.show(axes, self.below[plane.name], plane, cmap="gray", vmin=0.0, vmax=1.0)
        scale = slices.scale
        options = {"cmap": scale.colour_map, "vmin": scale.low, "vmax": scale.high, "interpolation": "nearest"}
        axes.invert_xaxis()  # `show` inverts it
        self.view.show(axes, slices.pictures[plane.name], plane, **options)
        left = axes.get_xlim()[0]
        axes.plot([left - 8, left - 8 - BAR_MM], [6, 6], color="white", linewidth=2, **OUTLINED)
        axes.text(left - 8, 10, f"{BAR_MM:g} mm", color="white", fontsize=7, **OUTLINED)


def _figure(
    size: tuple[float, float], shape: tuple[int, int], ratios: dict[str, list[float]]
) -> tuple[Figure, NDArray]:
    figure = Figure(figsize=size, dpi=DPI, layout="constrained", facecolor="white")
    FigureCanvasAgg(figure)
    return figure, figure.subplots(*shape, squeeze=False, gridspec_kw=ratios)


def _colour_bar(figure: Figure, axes: list[Axes], slices: Slices, *, below: bool = False) -> None:
    image = axes[0].images[-1]
    place = {"location": "bottom", "fraction": 0.06, "pad": 0.02} if below else {"fraction": 0.03, "pad": 0.02}
    if slices.kind.colours == "classes":
        image.set_norm(BoundaryNorm(np.arange(len(CLASSES) + 1) + 0.5, len(CLASSES)))
        bar = figure.colorbar(image, ax=axes, ticks=list(CLASSES), **place)
        names = ["normal", "fSAD", "emphysema", "emptying"] if below else list(CLASSES.values())
        bar.ax.set_xticklabels(names, fontsize=6) if below else bar.ax.set_yticklabels(names, fontsize=8)
        return
    bar = figure.colorbar(image, ax=axes, extend="neither" if slices.kind.colours == "share" else "both", **place)
    bar.ax.tick_params(labelsize=7)
    bar.set_label("" if slices.kind.unit == "1" else slices.kind.unit, fontsize=8)
