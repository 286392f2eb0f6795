"""Charts of a benchmark: error distribution of each method, and error against initial displacement."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import FormatStrFormatter, LogLocator, NullFormatter

from bundle.io.atomic import atomic_path
from scripts.benchmark.result import BenchmarkResult
from scripts.benchmark.table import by_data

DPI = 110
MIN_TRE_MM = 0.1  # lower end of the logarithmic axis; smaller errors are drawn there
WHISKERS_PERCENT = (5, 95)
LANDMARKS_A_BIN = 25  # fewer do not give a stable median
MAX_BINS = 8
COLOUR_ORDER = (
    7,
    5,
    0,
    9,
    4,
    1,
    8,
    6,
    3,
    2,
)  # of matplotlib's tab10: grey and brown first, for the rows without a field


def draw_tre_distribution(path: Path, results: Sequence[BenchmarkResult], labels: Mapping[str, str]) -> None:
    """Write a PNG with a panel per data set and a box plot of the landmark errors of each method.

    Boxes span the middle 50 % of the landmarks, whiskers the middle 90 %; the number is the median.

    Args:
        path: PNG file.
        results: in any order.
        labels: label of each method, in the order of the rows.
    """
    panels = dict(by_data(results))
    used = [method for method in labels if any(result.method == method for result in results)]
    figure = Figure(
        figsize=(2.2 + 3.6 * len(panels), 1.1 + 0.34 * len(used)), dpi=DPI, layout="constrained", facecolor="white"
    )
    FigureCanvasAgg(figure)
    grid = figure.subplots(1, len(panels), squeeze=False, sharey=True)[0]
    colours = _colours(labels)
    for axes, (data, of_data) in zip(grid, panels.items(), strict=True):
        for row, method in enumerate(used):
            errors_mm = [error for result in of_data if result.method == method for error in result.tre_mm]
            if errors_mm:
                _draw_box(axes, row, np.maximum(errors_mm, MIN_TRE_MM), colours[method])
        axes.set(title=f"{data} ({_count(of_data)} landmarks)", xlabel="TRE, mm (number: median)", xscale="log")
        _format_log(axes, "x")
        axes.set_xlim(right=axes.get_xlim()[1] * 1.6)  # space for the numbers
        axes.grid(axis="x", alpha=0.3)
        axes.set_axisbelow(True)
    grid[0].set_yticks(range(len(used)), [labels[method] for method in used])
    grid[0].invert_yaxis()
    with atomic_path(path) as temporary:
        figure.savefig(temporary, format="png")


def draw_tre_by_displacement(path: Path, results: Sequence[BenchmarkResult], labels: Mapping[str, str]) -> None:
    """Write a PNG with a panel per data set: median TRE of each method against the TRE before registration.

    Landmarks are binned by their TRE before registration, in bins of equal count.

    Args: see `draw_tre_distribution`.
    """
    panels = dict(by_data(results))
    used = [method for method in labels if any(result.method == method for result in results)]
    figure = Figure(figsize=(2.4 + 3.6 * len(panels), 3.9), dpi=DPI, layout="constrained", facecolor="white")
    FigureCanvasAgg(figure)
    grid = figure.subplots(1, len(panels), squeeze=False, sharey=True)[0]
    colours = _colours(labels)
    handles = {}
    for axes, (data, of_data) in zip(grid, panels.items(), strict=True):
        for method in used:
            chosen = [result for result in of_data if result.method == method]
            if chosen:
                initial = np.concatenate([result.initial_mm for result in chosen])
                errors = np.maximum(np.concatenate([result.tre_mm for result in chosen]), MIN_TRE_MM)
                x, y = binned_medians(initial, errors)
                handles[method] = axes.plot(x, y, color=colours[method], marker="o", markersize=3.5)[0]
        axes.set(title=data, xlabel="TRE before registration, mm", yscale="log")
        _format_log(axes, "y")
        axes.grid(alpha=0.3)
    grid[0].set_ylabel("median TRE, mm")
    shown = [method for method in used if method in handles]
    figure.legend(
        [handles[method] for method in shown],
        [labels[method] for method in shown],
        loc="outside right center",
        frameon=False,
        fontsize=9,
    )
    with atomic_path(path) as temporary:
        figure.savefig(temporary, format="png")


def _colours(labels: Mapping[str, str]) -> dict[str, tuple[float, float, float]]:
    """Colour of each method, the same in every chart."""
    palette = matplotlib.colormaps["tab10"]
    return {method: palette(COLOUR_ORDER[row % palette.N])[:3] for row, method in enumerate(labels)}


def _count(results: Sequence[BenchmarkResult]) -> int:
    return sum({result.case: len(result.tre_mm) for result in results}.values())


def _draw_box(axes: Axes, row: int, errors_mm: np.ndarray, colour: tuple[float, float, float]) -> None:
    axes.boxplot(
        errors_mm,
        positions=[row],
        orientation="horizontal",
        widths=0.6,
        whis=WHISKERS_PERCENT,
        showfliers=False,
        manage_ticks=False,
        patch_artist=True,
        boxprops={"facecolor": (*colour, 0.45), "edgecolor": colour},
        whiskerprops={"color": colour},
        capprops={"color": colour},
        medianprops={"color": "black", "linewidth": 1.5},
    )
    place = float(np.percentile(errors_mm, WHISKERS_PERCENT[1]))
    axes.annotate(
        f"{np.median(errors_mm):.2f}", (place, row), xytext=(5, 0), textcoords="offset points", va="center", fontsize=8
    )


def binned_medians(initial_mm: np.ndarray, errors_mm: np.ndarray) -> tuple[list[float], list[float]]:
    """Median initial and median final TRE of bins of equal count, smallest initial TRE first."""
    order = np.argsort(initial_mm, kind="stable")
    bins = np.array_split(order, int(np.clip(len(order) // LANDMARKS_A_BIN, 1, MAX_BINS)))
    return [float(np.median(initial_mm[part])) for part in bins], [float(np.median(errors_mm[part])) for part in bins]


def _format_log(axes: Axes, axis: str) -> None:
    """Label a logarithmic axis in mm at 1, 2 and 5 of each decade."""
    chosen = axes.xaxis if axis == "x" else axes.yaxis
    chosen.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
    chosen.set_major_formatter(FormatStrFormatter("%g"))
    chosen.set_minor_formatter(NullFormatter())
