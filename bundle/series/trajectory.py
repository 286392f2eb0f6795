"""Trajectories of points over the members of a series: tables and a plot."""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import matplotlib
import numpy as np
import torch
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from torch import Tensor

from bundle.geometry import WorldTransform, swap_ras_lps
from bundle.io.atomic import atomic_path
from bundle.series.amplitude import NAMES, peak_to_peak

FILE = "trajectories.csv"
COLUMNS = ("kind", "name", "member", "x_mm", "y_mm", "z_mm", "to_left_mm", "to_back_mm", "to_head_mm", "distance_mm")
MOTION_FILE = "motion.csv"
MOTION_COLUMNS = ("kind", "name", *(f"{name}_mm" for name in NAMES))

PANELS = ("to the left", "to the back", "to the head")
MOST_NAMED = 10  # more lines of one kind are grey, with one name for all
DPI = 100


@dataclass(frozen=True)
class Trajectory:
    """One point in all members of a series.

    Args:
        kind: "landmark" or "centroid".
        name: of the landmark or label.
        positions_mm: (M, 3) float64, RAS mm, in the members' own worlds.
    """

    kind: str
    name: str
    positions_mm: Tensor

    def displacements_mm(self, reference: int) -> Tensor:
        """(M, 3), RAS mm, from the position in the reference."""
        return self.positions_mm - self.positions_mm[reference]

    @property
    def amplitude_mm(self) -> Tensor:
        """(4,): peak to peak, see `peak_to_peak`."""
        return peak_to_peak(self.positions_mm)


def landmark_trajectories(
    transforms: Mapping[str, WorldTransform], points_mm: Tensor, names: Sequence[str]
) -> list[Trajectory]:
    """Trajectories of landmarks (N, 3) of the reference, RAS mm."""
    moved = torch.stack([one.transform_points_mm(points_mm) for one in transforms.values()])
    return [Trajectory("landmark", name, moved[:, number]) for number, name in enumerate(names)]


def write_trajectories(
    folder: Path, trajectories: Sequence[Trajectory], members: Sequence[str], reference: int
) -> None:
    """Write `trajectories.csv`: a row per point and member; positions and displacements from the reference, LPS mm."""
    rows = []
    for one in trajectories:
        positions = swap_ras_lps(one.positions_mm)
        shifts = swap_ras_lps(one.displacements_mm(reference))
        for member, position, shift in zip(members, positions, shifts, strict=True):
            numbers = [*position.tolist(), *shift.tolist(), float(shift.norm())]
            rows.append([one.kind, one.name, member, *(f"{number:.4f}" for number in numbers)])
    write_table(folder / FILE, COLUMNS, rows)


def write_table(path: Path, columns: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    """Write a csv file, atomically."""
    with atomic_path(path) as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(columns)
        writer.writerows(rows)


def draw_trajectories(
    path: Path, trajectories: Sequence[Trajectory], members: Sequence[str], reference: int, *, title: str = ""
) -> None:
    """Write a PNG of the displacements from the reference over the members, a panel for each axis of the patient."""
    figure = Figure(figsize=(10.5, 3.6), dpi=DPI, layout="constrained", facecolor="white")
    FigureCanvasAgg(figure)
    panels = figure.subplots(1, 3, sharey=True)
    colors = matplotlib.colormaps["tab10"].colors  # type: ignore[attr-defined]
    counts = Counter(one.kind for one in trajectories)
    named, grey = 0, set()
    for one in trajectories:
        shifts = swap_ras_lps(one.displacements_mm(reference)).numpy()
        if counts[one.kind] <= MOST_NAMED:
            style = {"color": colors[named % len(colors)], "linewidth": 1.6, "zorder": 2}
            style["label"] = f"{one.kind} {one.name}"
            named += 1
        else:
            style = {"color": "0.6", "linewidth": 0.5, "zorder": 1}
            if one.kind not in grey:
                style["label"] = f"{counts[one.kind]} {one.kind}s"
                grey.add(one.kind)
        for axes, values in zip(panels, shifts.T, strict=True):
            axes.plot(np.arange(len(members)), values, marker="o", markersize=2.5, **style)
    for axes, heading in zip(panels, PANELS, strict=True):
        axes.set_title(heading, fontsize=10)
        axes.set_xticks(np.arange(len(members)), members, fontsize=7, rotation=90)
        axes.axvline(reference, color="0.8", linewidth=6, zorder=0)
        axes.grid(alpha=0.3)
    panels[0].set_ylabel("displacement from the reference, mm", fontsize=9)
    panels[-1].legend(fontsize=7, loc="best")
    figure.suptitle(title, fontsize=11)
    with atomic_path(path) as temporary:
        figure.savefig(temporary, format="png")
