"""Mass and density of the lungs."""

from __future__ import annotations

import numpy as np

from bundle.function.breath import Breath, Values
from bundle.function.measures.smoothing import smooth_inside
from bundle.resample import AIR_HU


def density_g_per_l(hu: Values) -> Values:
    """Density HU + 1000 in g/l, with air of 0 and water of 1000, clipped below at 0."""
    return np.maximum(hu - np.float32(AIR_HU), 0)


def mass_g(hu: Values, voxel_ml: float) -> float:
    """Mass of voxels, g."""
    return float(density_g_per_l(hu).sum(dtype=np.float64)) * voxel_ml / 1000


def density_change(breath: Breath, sigma_mm: float) -> Values:
    """Exhale density that the inhale volume would have at constant mass, less the inhale density (n,), g/l of inhale.

    rho_ex V_ex / V_in - rho_in: 0 where the lung's mass is the same in both scans, positive where exhale holds more
    (blood, or an error of the registration). Each factor is smoothed before.
    Source: Staring et al. 2014, Med. Phys. 41(2), 021905, eq. 2, there relative to the other scan.
    """
    smooth = {
        name: smooth_inside(volume, breath.inside, breath.spacing_mm, sigma_mm)[breath.inside]
        for name, volume in (
            ("inhale", density_g_per_l(breath.inhale_hu)),
            ("exhale", density_g_per_l(breath.exhale_hu)),
            ("jacobian", breath.jacobian),
        )
    }
    return smooth["exhale"] / breath.volume_ratio(smooth["jacobian"]) - smooth["inhale"]
