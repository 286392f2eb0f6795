"""Names, scales and colours of the volumes, for the script of `report.html`."""

from __future__ import annotations

import base64
from functools import cache
from typing import Any

import matplotlib as mpl
import numpy as np

from bundle.geometry import spacing_mm
from bundle.reports.html.volumes import ReportVolumes
from bundle.reports.planes import WINDOW_HU

CONTRAST = 1.0  # stored steps of a difference of one stored step: the difference covers half of the window
COLOURS = {
    "grey": "gray",
    "difference": "RdBu_r",
    "displacement": "viridis",
    "jacobian": "PuOr",
    "inverse_consistency": "cividis",
}
LABELS = {
    "fixed": "fixed",
    "before": "before",
    "warped": "after",
    "displacement": "displacement",
    "jacobian": "Jacobian",
    "inverse_consistency": "inverse consistency",
}


def viewer_data(volumes: ReportVolumes) -> dict[str, Any]:
    """What the page's script needs beside the volumes."""
    scales = {
        name: {
            "label": LABELS[name],
            "low": volume.low,
            "high": volume.high,
            "unit": volume.unit,
            "first": volume.first,
        }
        for name, volume in volumes.volumes.items()
    }
    low, high = WINDOW_HU
    half = (high - low) / 2 / CONTRAST
    grey = {"label": "scan", "low": low, "high": high, "unit": "HU"}
    difference = {"label": "moving minus fixed", "low": -half, "high": half, "unit": "HU"}
    return {
        "volumes": scales,
        "bars": {"grey": grey, "difference": difference} | {name: scales[name] for name in COLOURS if name in scales},
        "centre": volumes.centre,
        "contrast": CONTRAST,
        "spacing_mm": spacing_mm(volumes.affine).tolist(),
        "colours": {name: _colours(colours) for name, colours in COLOURS.items()},
    }


@cache
def _colours(name: str) -> str:
    """The 256 colours of a map of matplotlib, red, green and blue bytes, in base64."""
    table = mpl.colormaps[name](np.linspace(0, 1, 256))[:, :3]
    return base64.b64encode((255 * table).round().astype(np.uint8).tobytes()).decode("ascii")
