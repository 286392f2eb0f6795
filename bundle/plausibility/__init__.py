"""Whether scans are what they seem: intensities in HU, headers that fit the anatomy."""

from bundle.plausibility.check_geometry import PlausibleGeometryd
from bundle.plausibility.geometry import (
    LungView,
    check_size,
    implausible_lungs,
    lost_geometry,
    repeated_slices,
    turned_scan,
    unlike_lungs,
    view_lungs,
)
from bundle.plausibility.hounsfield import NOT_IN_HU, HounsfieldUnitsd
from bundle.plausibility.intensities import Intensities, alike_in_window, find_intensities
from bundle.plausibility.orientation import other_orientation

__all__ = [
    "NOT_IN_HU",
    "HounsfieldUnitsd",
    "Intensities",
    "LungView",
    "PlausibleGeometryd",
    "alike_in_window",
    "check_size",
    "find_intensities",
    "implausible_lungs",
    "lost_geometry",
    "other_orientation",
    "repeated_slices",
    "turned_scan",
    "unlike_lungs",
    "view_lungs",
]
