"""Which of two scans is exhale."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from monai.data import MetaTensor

from bundle.function.breath import Phase
from bundle.function.measures.air import mass_g
from bundle.lung import volume_ml, voxel_ml

EQUAL_VOLUMES = 0.03  # relative difference below which the density decides
SMALL_BREATH = 0.1  # relative difference below which maps of ventilation say little


@dataclass(frozen=True)
class LungSize:
    """Lungs of one scan: volume in ml and mass in g, by its mask."""

    volume_ml: float
    mass_g: float

    @property
    def density_g_per_l(self) -> float:
        """Mean density."""
        return 1000 * self.mass_g / self.volume_ml


@dataclass(frozen=True)
class Exhale:
    """The scan that is exhale, and why."""

    scan: Phase
    reason: str
    warnings: tuple[str, ...] = ()


def lung_size(scan: MetaTensor, mask: MetaTensor) -> LungSize:
    """Volume and mass of the lungs of a scan (1, H, W, D), HU, by its mask on the same grid."""
    inside = scan.as_tensor().numpy()[mask.as_tensor().numpy() > 0]  # without the int64 indices of torch
    return LungSize(volume_ml(mask), mass_g(inside.astype(np.float32, copy=False), voxel_ml(scan.affine)))


def find_exhale(fixed: LungSize, moving: LungSize, given: Phase | None = None) -> Exhale:
    """The scan with the smaller lungs; of equal volumes (3 %), the one with the denser lungs.

    Args:
        given: the user's own answer, which is taken.
    """
    sizes: dict[Phase, LungSize] = {"fixed": fixed, "moving": moving}
    by_volume: Phase = "fixed" if fixed.volume_ml < moving.volume_ml else "moving"
    by_density: Phase = "fixed" if fixed.density_g_per_l > moving.density_g_per_l else "moving"
    difference = abs(fixed.volume_ml - moving.volume_ml) / max(fixed.volume_ml, moving.volume_ml)
    warnings = []
    if difference < SMALL_BREATH:
        warnings.append(f"the lung volumes differ by {100 * difference:.1f} % only: maps of a breath say little")
    volumes = f"{fixed.volume_ml:.0f} ml fixed, {moving.volume_ml:.0f} ml moving"
    densities = f"{fixed.density_g_per_l:.0f} g/l fixed, {moving.density_g_per_l:.0f} g/l moving"
    if given is not None:
        if difference >= EQUAL_VOLUMES and given != by_volume:
            warnings.append(f"--exhale {given}, but the {by_volume} scan has the smaller lungs ({volumes})")
        return Exhale(given, "as given", tuple(warnings))
    if difference < EQUAL_VOLUMES:
        return Exhale(by_density, f"the denser lungs, of about equal volumes ({densities})", tuple(warnings))
    if by_density != by_volume:
        other = f"{sizes[by_volume].density_g_per_l:.0f} g/l"
        warnings.append(f"the {by_volume} scan has the smaller but not the denser lungs ({other}; {densities})")
    return Exhale(by_volume, f"the smaller lungs ({volumes})", tuple(warnings))
