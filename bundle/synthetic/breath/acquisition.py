"""How one scan of a pair is made, and how the lungs differ in it: drawn at random, stored as JSON and replayed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

Vector = tuple[float, float, float]

# Ranges of the hard scans; those of `Appearance` and the kernel shrink with the hardness.
CALIBRE_MM = (-0.9, 0.9)
VESSEL_CONTRAST = (-0.3, 0.3)
BLOOD_HU = (30.0, 50.0)
AGENT_HU = (200.0, 400.0)  # of blood with contrast agent
DENSITY = (-0.35, 0.5)
GRAVITY_PER_100MM = 0.4  # along A; a tenth of it along R and S
TEXTURE_HU, TEXTURE_MM = (5.0, 60.0), (1.4, 5.0)
KERNEL = (-1.0, 1.5)
NOISE_HU = (15.0, 80.0)
EASY_NOISE_HU = 5.0
SLICE_MM = (1.0, 5.0)
CUT_MM = 25.0  # of the lungs, at the base; less at the other faces


@dataclass(frozen=True)
class Appearance:
    """How the lungs look in one scan, relative to the source.

    Args:
        calibre_mm: change of the vessels' radius.
        vessel_contrast: relative change of the vessels' density above that of the parenchyma.
        blood_hu: HU of blood, which tells whether there is contrast agent.
        density: relative change of the density of the parenchyma.
        gradient_per_100mm: the same along R, A, S, per 100 mm from the centre, as gravity makes it.
        texture_hu, texture_mm: standard deviation and correlation (Gaussian sigma) of a texture of the parenchyma that
            the other scan does not have.
    """

    calibre_mm: float
    vessel_contrast: float
    blood_hu: float
    density: float
    gradient_per_100mm: Vector
    texture_hu: float
    texture_mm: float


@dataclass(frozen=True)
class Acquisition:
    """Acquisition of one scan of the pair.

    Args:
        in_plane_mm, slice_mm: voxel size; slices are averaged over their thickness.
        kernel: if positive, sigma (mm) of a smooth kernel; if negative, strength of a sharp one.
        noise_hu: standard deviation of the spatially correlated noise.
        margin_low_mm, margin_high_mm: field of view beyond the lungs along R, A, S; negative values truncate them.
        matrix_vox: sides in plane of a scan that is centred on the lungs, whatever the margins there; None: by margins.
        empty_slices: slices of air above the scan, into which the trachea opens.
        appearance: of the lungs; None: as in the source.
    """

    in_plane_mm: float
    slice_mm: float
    kernel: float
    noise_hu: float
    margin_low_mm: Vector
    margin_high_mm: Vector
    matrix_vox: int | None = None
    empty_slices: int | None = None
    appearance: Appearance | None = None

    def to_dict(self) -> dict[str, Any]:
        """Plain numbers, lists and dictionaries for JSON, without what is None."""
        return {key: value for key, value in asdict(self).items() if value is not None}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Acquisition:
        """Inverse of `to_dict`, also after a round trip through JSON."""
        known = {key: as_tuples(value) for key, value in values.items()}
        if "appearance" in known:
            parts = {key: as_tuples(value) for key, value in known["appearance"].items()}
            known["appearance"] = Appearance(**parts)
        return cls(**known)


def draw_acquisition(rng: np.random.RandomState) -> Acquisition:
    """Draw an acquisition that leaves the lungs as they are in the source."""
    low = [rng.uniform(5, 35), rng.uniform(5, 35), rng.uniform(-4, 30)]
    high = [rng.uniform(5, 35), rng.uniform(5, 35), rng.uniform(-3, 25)]
    return Acquisition(
        in_plane_mm=float(rng.uniform(1.4, 2.2)),
        slice_mm=float(rng.uniform(1.5, 3.0)),
        kernel=float(rng.uniform(-0.6, 1.0)),
        noise_hu=float(rng.uniform(20, 40)),
        margin_low_mm=as_vector(low),
        margin_high_mm=as_vector(high),
    )


def draw_hard_acquisition(rng: np.random.RandomState, *, agent: bool, hardness: float = 1.0) -> Acquisition:
    """Draw an acquisition of another scanner on another day: every quantity of `Appearance`, thick slices, cuts.

    Args:
        rng: source of randomness.
        agent: whether blood contains contrast agent.
        hardness: in [0, 1], scales the ranges of the appearance, the kernel and the noise; slices and field of view
            do not depend on it.
    """
    strongest_hu, weakest_hu = (EASY_NOISE_HU * (limit / EASY_NOISE_HU) ** hardness for limit in NOISE_HU[::-1])
    low = [rng.uniform(-10, 30), rng.uniform(5, 30), rng.uniform(-CUT_MM, CUT_MM)]
    high = [rng.uniform(-10, 30), rng.uniform(5, 30), rng.uniform(-CUT_MM / 2, CUT_MM)]
    return Acquisition(
        in_plane_mm=float(rng.uniform(1.4, 2.2)),
        slice_mm=float(rng.uniform(*SLICE_MM)),
        kernel=float(hardness * rng.uniform(*KERNEL)),
        noise_hu=float(weakest_hu * (strongest_hu / weakest_hu) ** rng.uniform()),
        margin_low_mm=as_vector(low),
        margin_high_mm=as_vector(high),
        empty_slices=int(rng.randint(4)),
        appearance=Appearance(
            calibre_mm=float(hardness * rng.uniform(*CALIBRE_MM)),
            vessel_contrast=float(hardness * rng.uniform(*VESSEL_CONTRAST)),
            blood_hu=float(rng.uniform(*(AGENT_HU if agent else BLOOD_HU))),
            density=float(hardness * rng.uniform(*DENSITY)),
            gradient_per_100mm=as_vector(
                hardness * GRAVITY_PER_100MM * rng.uniform(-1.0, 1.0, 3) * np.array([0.1, 1.0, 0.1])
            ),
            texture_hu=float(hardness * rng.uniform(*TEXTURE_HU)),
            texture_mm=float(rng.uniform(*TEXTURE_MM)),
        ),
    )


def as_vector(values: np.ndarray | Sequence[float]) -> Vector:
    """Three plain floats."""
    return float(values[0]), float(values[1]), float(values[2])


def as_tuples(value: Any) -> Any:
    """A list read from JSON as the tuple it was."""
    return tuple(value) if isinstance(value, list) else value
