"""Ventilation: how much a region's volume, or its air, grows from exhale to inhale."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from bundle.function.breath import Breath, Values
from bundle.function.measures.air import air_fraction, density_g_per_l
from bundle.function.measures.smoothing import LungSmoother

PARENCHYMA_HU = (-1000.0, -250.0)  # of both scans, for HU ventilation: without vessels and airway walls
MIN_AIR = 0.05  # air fraction of exhale below which a change relative to it is not defined
MIN_TISSUE = 0.01  # tissue fraction of inhale: less is noise of air (-990 HU)


def volume_change(breath: Breath, sigma_mm: float) -> Values:
    """Specific volume change (V_in - V_ex) / V_ex (n,), from the Jacobian; also Ding's SAJ, J - 1 from exhale.

    Sources: Reinhardt et al. 2008, Med. Image Anal. 12(6); SAJ of Ding et al. 2012, Med. Phys. 39(8).
    """
    return _ratio(breath, sigma_mm) - np.float32(1)


def corrected_air_change(breath: Breath, sigma_mm: float) -> Values:
    """SACJ (n,): change of the air volume relative to exhale, J F_in / F_ex - 1 with the air fractions F.

    J = V_in / V_ex. NaN where F_ex is below `MIN_AIR`. Source: Ding et al. 2012.
    """
    inhale, exhale = breath.smoothed("inhale air", sigma_mm), breath.smoothed("exhale air", sigma_mm)
    defined = exhale >= MIN_AIR
    change = _ratio(breath, sigma_mm) * inhale / np.where(defined, exhale, 1) - 1
    return np.where(defined, change, np.float32(np.nan))


def air_change_by_intensity(breath: Breath, sigma_mm: float) -> Values:
    """SAI (n,): as SACJ, with the volume ratio that keeps the tissue: (F_in - F_ex) / (F_ex (1 - F_in)).

    NaN where F_ex is below `MIN_AIR`; 1 - F_in is at least `MIN_TISSUE`. Source: Ding et al. 2012; Simon 2000.
    """
    return _simon(breath.smoothed("inhale air", sigma_mm), breath.smoothed("exhale air", sigma_mm))


def hu_ventilation(breath: Breath, sigma_mm: float, *, mass_correction: bool = False) -> Values:
    """Simon's formula (n,) on parenchyma: 1000 (HU_in - HU_ex) / (HU_ex (HU_in + 1000)).

    NaN outside `PARENCHYMA_HU` in either scan; vessels do not count in the smoothing either.

    Args:
        mass_correction: scale the inhale density so that the parenchyma has the mass of exhale (`mass_factor`).
    Sources: Simon 2000, J. Clin. Monit. Comput. 16; Guerrero et al. 2006, Phys. Med. Biol. 51(4).
    """
    mask = parenchyma(breath)
    inhale_hu = breath.inhale_hu
    if mass_correction:
        inhale_hu = (inhale_hu + 1000) * np.float32(mass_factor(breath)) - 1000
    smooth = LungSmoother(mask, breath.spacing_mm, sigma_mm)
    found = np.full(int(breath.inside.sum()), np.nan, np.float32)
    found[mask[breath.inside]] = _simon(smooth(air_fraction(inhale_hu)), smooth(air_fraction(breath.exhale_hu)))
    return found


def parenchyma(breath: Breath) -> NDArray[np.bool_]:
    """Lung voxels (h, w, d) within `PARENCHYMA_HU` in both scans."""
    low, high = PARENCHYMA_HU
    scans = (breath.inhale_hu, breath.exhale_hu)
    return breath.inside & np.logical_and.reduce([(low <= hu) & (hu <= high) for hu in scans])


def mass_factor(breath: Breath) -> float:
    """Exhale mass over inhale mass of the parenchyma; blood enters the lungs between the scans.

    Guerrero et al. subtract the relative difference f of the masses, 1 - f, which is this factor to first order.
    """
    kept = parenchyma(breath)[breath.inside]
    inhale, exhale = (
        float((density_g_per_l(hu[breath.inside]) * volume_ml)[kept].sum(dtype=np.float64))
        for hu, volume_ml in ((breath.inhale_hu, breath.inhale_ml), (breath.exhale_hu, breath.exhale_ml))
    )
    return exhale / inhale if inhale > 0 else 1.0


def _ratio(breath: Breath, sigma_mm: float) -> Values:
    return breath.volume_ratio(breath.smoothed("jacobian", sigma_mm))


def _simon(inhale: Values, exhale: Values) -> Values:
    """(F_in - F_ex) / (F_ex (1 - F_in)) of air fractions."""
    defined = exhale >= MIN_AIR
    change = (inhale - exhale) / (np.where(defined, exhale, 1) * np.maximum(1 - inhale, MIN_TISSUE))
    return np.where(defined, change, np.float32(np.nan)).astype(np.float32)
