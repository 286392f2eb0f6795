"""Displacement fields as colours."""

from __future__ import annotations

import numpy as np


def rgb_field(vectors_mm: np.ndarray, *, limit_mm: float) -> np.ndarray:
    """RGB picture (..., 3) in [0, 1] of vectors (3, ...) in mm.

    Red, green and blue are the components towards right, anterior and superior: mid-grey is no motion, brighter is
    along the axis, darker against it, saturated at `limit_mm`. Signed, so that opposite motions differ (absolute
    components, as in diffusion imaging, would show inhaling and exhaling alike).
    """
    return np.clip(0.5 + 0.5 * np.moveaxis(vectors_mm, 0, -1) / limit_mm, 0.0, 1.0)
