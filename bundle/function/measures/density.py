"""Density of the lungs: what changes beyond the air that enters."""

from __future__ import annotations

from bundle.function.breath import Breath, Values


def density_change(breath: Breath, sigma_mm: float) -> Values:
    """Exhale density that the inhale volume would have at constant mass, less the inhale density (n,), g/l of inhale.

    rho_ex V_ex / V_in - rho_in: 0 where the lung's mass is the same in both scans, positive where exhale holds more
    (blood, or an error of the registration). Each factor is smoothed before.
    Source: Staring et al. 2014, Med. Phys. 41(2), 021905, there relative to the other scan.
    """
    ratio = breath.volume_ratio(breath.smoothed("jacobian", sigma_mm))
    return breath.smoothed("exhale density", sigma_mm) / ratio - breath.smoothed("inhale density", sigma_mm)
