"""Air and tissue of the lungs by their HU: air has -1000 HU and 0 g/l, tissue 0 HU and 1000 g/l."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from bundle.resample import AIR_HU


def air_fraction(hu: NDArray[np.float32]) -> NDArray[np.float32]:
    """Share of air in a voxel: -HU / 1000, clipped to 0 and 1."""
    return np.clip(hu / np.float32(AIR_HU), 0, 1)


def density_g_per_l(hu: NDArray[np.float32]) -> NDArray[np.float32]:
    """Density HU + 1000 in g/l, clipped below at 0."""
    return np.maximum(hu - np.float32(AIR_HU), 0)


def mass_g(hu: NDArray[np.float32], voxel_ml: float) -> float:
    """Mass of voxels, g."""
    return float(density_g_per_l(hu).sum(dtype=np.float64)) * voxel_ml / 1000
