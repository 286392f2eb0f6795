"""The maps of lung function: their names, units and formulas, and how each is computed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from bundle.function.breath import Breath, Phase
from bundle.function.measures.density import density_change
from bundle.function.measures.response import FILTERS, Filter, ResponseThresholds, response_map
from bundle.function.measures.strain import Strain, strain
from bundle.function.measures.ventilation import (
    air_change_by_intensity,
    corrected_air_change,
    hu_ventilation,
    volume_change,
)

NAMES = ("volume_change", "saj", "sacj", "sai", "hu_ventilation", "density_change", "prm", "strain")
MAX_SMOOTH_MM = 50.0
DEFAULT_SMOOTH_MM = 4.0


@dataclass(frozen=True)
class MapKind:
    """What a map holds.

    Args:
        name: of its file.
        title, unit: for tables and pictures; the unit of a ratio is 1.
        formula: in one line, as in the file's header.
        weight: the volume that weights a voxel in statistics, that of the denominator.
        step: values are rounded to it, for small files.
        colours: "sequential" from 0 or the lowest value, "diverging" around 0, "share" from 0 to 1, or "classes".
        is_ventilation: regions of low and high function are counted.
    """

    name: str
    title: str
    unit: str
    formula: str
    weight: Literal["inhale", "exhale"]
    step: float = 2.0**-10
    colours: Literal["sequential", "diverging", "share", "classes"] = "sequential"
    is_ventilation: bool = False


VENTILATION = (
    ("volume_change", "specific volume change", "(Vin-Vex)/Vex"),
    ("saj", "air volume change by the Jacobian (SAJ)", "SAJ J-1"),
    ("sacj", "air volume change by the corrected Jacobian (SACJ)", "SACJ J Fin/Fex-1"),
    ("sai", "air volume change by intensity (SAI)", "SAI (Fin-Fex)/(Fex(1-Fin))"),
    ("hu_ventilation", "HU ventilation (Simon)", "HU (in-ex)/ex/(1+in/1000)"),
)
STRAIN = (
    ("stretch1", "first principal stretch", "l1 of right stretch tensor"),
    ("stretch2", "second principal stretch", "l2 of right stretch tensor"),
    ("stretch3", "third principal stretch", "l3 of right stretch tensor"),
    ("adi", "anisotropic deformation index (ADI)", "ADI of stretches"),
    ("sri", "slab-rod index (SRI): 0 slab, 1 rod", "SRI of stretches"),
)
KINDS = {
    name: MapKind(name, title, "1", formula, "exhale", is_ventilation=True) for name, title, formula in VENTILATION
} | {
    "density_change": MapKind(
        "density_change",
        "density change at constant mass",
        "g/l",
        "rho_ex Vex/Vin-rho_in g/l",
        "inhale",
        step=2.0**-3,
        colours="diverging",
    ),
    "prm": MapKind("prm", "parametric response map", "class", "PRM", "inhale", step=1.0, colours="classes"),
}
KINDS |= {
    name: MapKind(name, title, "1", formula, "exhale", colours="share" if name == "sri" else "sequential")
    for name, title, formula in STRAIN
}


@dataclass(frozen=True, kw_only=True)
class MapOptions:
    """How maps are computed.

    Args:
        maps: some of `NAMES`, or "all".
        smooth_mm: sigma of the Gaussian of all maps but the response map, mm; 0 for none.
        exhale: the scan that is exhale; found if None.
        prm_filter: see `bundle.function.measures.response.FILTERS`.
        thresholds: of the response map.
        mass_correction: of HU ventilation.
    Raises: ValueError for an unknown name or a value out of range.
    """

    maps: Sequence[str] | str = "all"
    smooth_mm: float = DEFAULT_SMOOTH_MM
    exhale: Phase | None = None
    prm_filter: Filter = "median"
    thresholds: ResponseThresholds = field(default_factory=ResponseThresholds)
    mass_correction: bool = False

    def __post_init__(self) -> None:
        unknown = sorted(set(self.names) - set(NAMES))
        if unknown or not self.names:
            raise ValueError(f"maps: expected all, or some of {', '.join(NAMES)}, got {', '.join(unknown) or 'none'}")
        if not isinstance(self.smooth_mm, (int, float)) or not 0 <= self.smooth_mm <= MAX_SMOOTH_MM:
            raise ValueError(f"smooth_mm: expected 0 to {MAX_SMOOTH_MM:g} mm, got {self.smooth_mm}")
        if self.exhale not in (None, "fixed", "moving"):
            raise ValueError(f"exhale: expected fixed or moving, got {self.exhale!r}")
        if self.prm_filter not in FILTERS:
            raise ValueError(f"prm_filter: expected one of {', '.join(FILTERS)}, got {self.prm_filter!r}")

    @property
    def names(self) -> list[str]:
        """The names of the maps, in order."""
        words = self.maps.split(",") if isinstance(self.maps, str) else list(self.maps)
        given = [word.strip() for word in words if word.strip()]
        return list(NAMES) if given == ["all"] else list(dict.fromkeys(given))

    def file_of(self, kind: MapKind) -> str:
        """File name of a map; it states the smoothing."""
        if kind.name == "prm":
            return f"prm_filter_{self.prm_filter}.nii.gz"
        corrected = "_mass_corrected" if kind.name == "hu_ventilation" and self.mass_correction else ""
        return f"{kind.name}{corrected}_smooth_{self.smooth_mm:g}mm.nii.gz"

    def smoothing_of(self, kind: MapKind) -> str:
        """How a map is smoothed, in words."""
        return FILTERS[self.prm_filter] if kind.name == "prm" else f"Gaussian, sigma {self.smooth_mm:g} mm"

    def header_of(self, kind: MapKind, exhale: Phase) -> str:
        """Text of the NIfTI header (`descrip`), at most 79 characters: formula, direction, smoothing."""
        if kind.name == "prm":
            limits = f"{self.thresholds.inhale_hu:g}/{self.thresholds.exhale_hu:g} HU"
            smoothing = {"median": "median 3 vox", "gaussian": "Gauss s1 vox", "none": "no filter"}[self.prm_filter]
            return f"PRM 1 normal 2 fSAD 3 emph 4 empty, {limits}, {smoothing}, exhale={exhale}"
        corrected = " mass corr" if kind.name == "hu_ventilation" and self.mass_correction else ""
        return f"{kind.formula}{corrected}, ex>in, exhale={exhale}, Gauss s {self.smooth_mm:g} mm"


def compute_maps(breath: Breath, options: MapOptions) -> Iterator[tuple[MapKind, NDArray]]:
    """The maps and their values (n,) in the lung voxels, one after the other."""
    sigma_mm = options.smooth_mm
    simple = {
        "volume_change": volume_change,
        "saj": volume_change,
        "sacj": corrected_air_change,
        "sai": air_change_by_intensity,
        "density_change": density_change,
    }
    for name in options.names:
        if name in simple:
            yield KINDS[name], simple[name](breath, sigma_mm)
        elif name == "hu_ventilation":
            yield KINDS[name], hu_ventilation(breath, sigma_mm, mass_correction=options.mass_correction)
        elif name == "prm":
            yield KINDS[name], response_map(breath, options.thresholds, options.prm_filter)
        else:
            yield from zip([KINDS[part] for part in Strain._fields], strain(breath, sigma_mm), strict=True)


def rounded(kind: MapKind, values: NDArray) -> NDArray[np.float32]:
    """Values as they are stored."""
    return (np.rint(values / kind.step) * kind.step).astype(np.float32)
