"""Histograms of errors, as SVG that stands in an HTML page."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from io import StringIO
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure

from bundle.metrics import compute_tre_mm
from bundle.quality import TRE_MEAN_MM, Residuals

SIZE_INCH = (7.2, 2.5)
BINS = 24
LEAST_MM = 1.0  # of the axis: errors near 0 stay near 0
BEFORE, AFTER = "#8a94a6", "#0b62a4"  # differ in lightness too: colour-blind readers, grey prints


def error_chart(pair: Mapping[Hashable, Any], residuals: Residuals | None) -> str:
    """The chart of a pair as HTML: TRE with landmarks of both scans, else vessel residuals, else why there is none."""
    if "fixed_landmarks" in pair and "moving_landmarks" in pair and len(pair["moving_landmarks"]):
        moving = pair["moving_landmarks"].cpu()
        tre_mm, before_mm = (
            compute_tre_mm(pair[key].cpu(), moving).numpy() for key in ("mapped_landmarks", "aligned_landmarks")
        )
        chart = error_histogram(tre_mm, before_mm=before_mm, limit_mm=TRE_MEAN_MM, xlabel="TRE of the landmarks, mm")
        return f"<figure>{chart}<figcaption>Target registration error of {len(tre_mm)} landmarks.</figcaption></figure>"
    shifts_mm = residuals.vessels.matched_shift_mm.numpy() if residuals else np.zeros(0)
    if not len(shifts_mm):
        return "<p>Not measured: landmarks of both scans were not given, and too few vessels were found.</p>"
    chart = error_histogram(shifts_mm, xlabel="distance of a vessel to its best match, mm")
    return (
        f"<figure>{chart}<figcaption>Vessel residuals: {len(shifts_mm)} vessels of the fixed scan that have a match "
        "in the warped scan within the search of 9 mm along each axis. Landmarks of both scans (--fixed_landmarks, "
        "--moving_landmarks) would show the target registration error here.</figcaption></figure>"
    )


def error_histogram(
    errors_mm: np.ndarray, *, before_mm: np.ndarray | None = None, limit_mm: float | None = None, xlabel: str
) -> str:
    """A histogram as an `<svg>` element with text as text.

    Args:
        errors_mm: (N,), N > 0.
        before_mm: (N,), the same before registration, drawn as an outline.
        limit_mm: a tolerance, drawn as a line.
        xlabel: of the axis, with its unit.
    """
    shown = [errors_mm] if before_mm is None else [errors_mm, before_mm]
    edges = np.linspace(0.0, max(LEAST_MM, *(float(values.max()) for values in shown)), BINS + 1).tolist()
    with mpl.rc_context({"svg.fonttype": "none", "svg.hashsalt": xlabel, "font.family": "sans-serif", "font.size": 9}):
        figure = Figure(figsize=SIZE_INCH, layout="constrained")
        axes = figure.subplots()
        axes.hist(errors_mm, edges, color=AFTER, label=f"registered, mean {errors_mm.mean():.2f} mm")
        if before_mm is not None:
            label = f"after the initial alignment, mean {before_mm.mean():.2f} mm"
            axes.hist(before_mm, edges, histtype="step", color=BEFORE, linewidth=1.6, label=label)
        if limit_mm is not None and limit_mm < edges[-1]:
            axes.axvline(limit_mm, color="black", linestyle="--", linewidth=1, label=f"tolerance, {limit_mm:g} mm")
        axes.set_xlabel(xlabel)
        axes.set_ylabel("number")
        axes.spines[["top", "right"]].set_visible(False)
        axes.legend(frameon=False)
        text = StringIO()
        FigureCanvasSVG(figure).print_svg(text, metadata={"Date": None, "Creator": None})
    svg = text.getvalue()
    return svg[svg.index("<svg") :]  # a page has neither XML declaration nor document type
