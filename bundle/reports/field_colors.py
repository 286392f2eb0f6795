"""Displacement fields as colours."""

from __future__ import annotations

import numpy as np


def rgb_field(vectors_mm: np.ndarray, *, limit_mm: float) -> np.ndarray:
    """RGB picture (..., 3) in [0, 1] of vectors (3, ...) in mm.

    Red, green and blue are the signed components towards right, anterior and superior: mid-grey is zero, brighter is
    positive, darker is negative, saturated at `limit_mm`. Unsigned colours, as in diffusion imaging, would not
    distinguish inhalation from exhalation.
    """
    return np.clip(0.5 + 0.5 * np.moveaxis(vectors_mm, 0, -1) / limit_mm, 0.0, 1.0)
