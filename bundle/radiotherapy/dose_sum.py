"""Doses carried through registrations, and added up."""

from __future__ import annotations

import logging
from collections.abc import Sequence

import itk
import numpy as np

from bundle.apply import warp_scan
from bundle.io import ImageHeader, extend
from bundle.radiotherapy.dose import Dose

log = logging.getLogger(__name__)


def carry_dose(
    dose: Dose, to_source: itk.Transform | None, grid: ImageHeader, *, name: str = "transform"
) -> np.ndarray:
    """The dose (H, W, D) float32 at the points of a target grid: trilinear, 0 outside the dose grid.

    Values are those at the corresponding points of the source: dose is mapped, not energy or mass.

    Args:
        to_source: world of the target to world of the dose, LPS mm; None for the identity.
        name: of the transform, for errors.
    Raises: ValueError for a target far outside the transform.
    """
    identity = itk.IdentityTransform[itk.D, 3].New()
    transform = identity if to_source is None else extend(to_source, grid.corners_mm, name=name)
    carried = warp_scan(transform, dose.values, grid, "linear", 0.0).numpy()
    if not carried.any():
        log.warning("%s: no dose above 0 lies in the target grid", dose.path)
    return carried


def check_summands(doses: Sequence[Dose]) -> None:
    """Raises: ValueError naming two doses that cannot be added: relative ones, or of different units or types."""
    for dose in doses:
        if dose.kind[0] != "GY":
            raise ValueError(f"{dose.path}: expected a dose in GY, found {dose.kind[0]}: it cannot be added to others")
        if dose.kind != doses[0].kind:
            raise ValueError(f"{dose.path}: expected {doses[0].kind} as in {doses[0].path}, found {dose.kind}")


def add_doses(
    doses: Sequence[Dose], transforms: Sequence[itk.Transform | None], weights: Sequence[float], grid: ImageHeader
) -> np.ndarray:
    """The weighted sum (H, W, D) float32 of doses carried to one grid.

    Args:
        transforms: of each, world of the grid to world of the dose, LPS mm; None for the identity.
        weights: of each, taken as they are.
        grid: of the reference scan.
    Raises: ValueError, see `check_summands`.
    """
    check_summands(doses)
    total = np.zeros(grid.shape, dtype=np.float32)
    for dose, transform, weight in zip(doses, transforms, weights, strict=True):
        total += np.float32(weight) * carry_dose(dose, transform, grid, name=dose.path)
    return total
