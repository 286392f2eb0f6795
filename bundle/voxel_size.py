"""Voxel sizes that a registration takes; without torch, so that commands can refuse others at once."""

from __future__ import annotations

from collections.abc import Mapping
from numbers import Real
from typing import Any

LIMITS_MM = {  # finer grids need more memory than machines have; coarser ones lose the lungs
    "spacing_mm": (0.5, 10.0),
    "network_spacing_mm": (1.0, 10.0),  # whole images of 500×500×400 mm are 100 million voxels of 1 mm
}


def check_voxel_mm(name: str, value: Any) -> None:
    """Check the size of a voxel.

    Args:
        name: of the option, one of `LIMITS_MM`, with dashes before it or without.
        value: in mm; None leaves the default.
    Raises: ValueError unless it is a number within the limits.
    """
    low, high = LIMITS_MM[name.lstrip("-")]
    if value is None:
        return
    if not isinstance(value, Real) or isinstance(value, bool) or not low <= float(value) <= high:
        raise ValueError(f"{name}: expected {low:g} to {high:g} mm, got {value!r:.80}")


def check_voxels_mm(options: Mapping[str, Any]) -> None:
    """Check the voxel sizes among options. Raises: see `check_voxel_mm`."""
    for name in LIMITS_MM:
        check_voxel_mm(name, options.get(name))
