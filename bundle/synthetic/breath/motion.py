"""Parameters of a simulated breath: drawn at random, stored as JSON and replayed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np

from bundle.synthetic.breath.acquisition import (
    Acquisition,
    Vector,
    as_tuples,
    as_vector,
    draw_acquisition,
    draw_hard_acquisition,
)

DIAPHRAGM_MM = (18.0, 42.0)  # with the shift of the patient: mean displacement of 12 to 31 mm, as in DIR-Lab COPD
NUM_WAVES = 8
WAVELENGTH_MM = (60.0, 180.0)
WAVE_STRAIN = (0.08, 0.25)  # maximum slope of a wave; its amplitude is strain * wavelength / 2 pi, 0.8 to 7.2 mm
SHIFT_MM = (
    (-6.0, 6.0),
    (-10.0, 10.0),
    (-8.0, 16.0),
)  # along R, A, S: change of the patient's position, mostly upwards
ROTATION_DEG = 2.5  # maximum about each axis


@dataclass(frozen=True)
class Wave:
    """Velocity `amplitude_mm * sin(wave_per_mm . p + phase_rad)`."""

    amplitude_mm: Vector
    wave_per_mm: Vector
    phase_rad: float


HARD_VERSION = 1  # of the hard acquisitions: hard pairs of other versions are regenerated
CLINICAL: dict[str, Any] = {"in_plane_mm": 0.6, "slice_mm": 2.5, "noise_hu": 35.0, "matrix_vox": 512}


@dataclass(frozen=True)
class MotionParameters:
    """One draw; `simulate_motion` reproduces its pair.

    Args:
        diaphragm_mm: lift of the diaphragm of the right and the left lung.
        curve: profile of the lift from apex (s = 0) to diaphragm (s = 1): (1 - curve) s + curve s².
        front_back: relative difference of motion between front and back; positive: the front moves more.
        contraction: relative in-plane contraction of the lungs.
        wall_mm: inward motion of the chest wall.
        heart_share: lift of the heart relative to the diaphragm.
        waves: local motion of the lungs.
        shift_mm, rotation_deg: change of the patient's position in the exhale scan, along and about R, A, S.
        inhale, exhale: the two acquisitions.
        swap: whether the exhale scan is `fixed`.
        seed: seed of the noise and the landmark selection.
    """

    diaphragm_mm: tuple[float, float]
    curve: float
    front_back: float
    contraction: float
    wall_mm: float
    heart_share: float
    waves: tuple[Wave, ...]
    shift_mm: Vector
    rotation_deg: Vector
    inhale: Acquisition
    exhale: Acquisition
    swap: bool
    seed: int

    def to_dict(self) -> dict[str, Any]:
        """Plain numbers, lists and dictionaries for JSON, without what is None."""
        values = asdict(self)
        for side in ("inhale", "exhale"):
            values[side] = getattr(self, side).to_dict()
        return values

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> MotionParameters:
        """Inverse of `to_dict`, also after a round trip through JSON.

        Raises: KeyError or TypeError naming a missing or unknown value.
        """
        known = {name: as_tuples(value) for name, value in values.items()}
        known["waves"] = tuple(Wave(**{key: as_tuples(part) for key, part in wave.items()}) for wave in values["waves"])
        for side in ("inhale", "exhale"):
            known[side] = Acquisition.from_dict(values[side])
        return cls(**known)

    def clinical(self) -> MotionParameters:
        """The same breath in scans of the size that clinics make: see `CLINICAL`."""
        return replace(self, inhale=replace(self.inhale, **CLINICAL), exhale=replace(self.exhale, **CLINICAL))

    def hard(self) -> MotionParameters:
        """The same breath in two scans of other scanners and days, one of them with contrast agent."""
        rng = np.random.RandomState([self.seed, HARD_VERSION])
        agent = bool(rng.randint(2))
        inhale, exhale = (draw_hard_acquisition(rng, agent=has_agent) for has_agent in (agent, not agent))
        return replace(self, inhale=inhale, exhale=exhale)

    def damped(self, factor: float) -> MotionParameters:
        """The breath with its waves scaled by `factor` and its lift by the cube root of `factor`."""
        waves = tuple(
            replace(wave, amplitude_mm=as_vector(factor * np.array(wave.amplitude_mm))) for wave in self.waves
        )
        right, left = (lift_mm * float(np.cbrt(factor)) for lift_mm in self.diaphragm_mm)
        return replace(self, waves=waves, diaphragm_mm=(right, left))


def draw_motion(
    rng: np.random.RandomState, *, diaphragm_mm: tuple[float, float] = DIAPHRAGM_MM, swap_prob: float = 0.25
) -> MotionParameters:
    """Draw a breath and two acquisitions.

    Args:
        rng: source of randomness.
        diaphragm_mm: range of the larger diaphragm lift; the other is 75 to 100 % of it.
        swap_prob: probability that the exhale scan is `fixed`.
    """
    peak_mm = rng.uniform(*diaphragm_mm)
    sides = rng.permutation([1.0, rng.uniform(0.75, 1.0)]) * peak_mm
    shift_mm, rotation_deg = draw_position(rng)
    return MotionParameters(
        diaphragm_mm=(float(sides[0]), float(sides[1])),
        curve=float(rng.uniform(0.2, 0.9)),
        front_back=float(rng.uniform(-0.45, 0.15)),
        contraction=float(rng.uniform(0.0, 0.04)),
        wall_mm=float(rng.uniform(0.0, 2.0)),
        heart_share=float(rng.uniform(0.2, 0.6)),
        waves=tuple(_draw_wave(rng) for _ in range(NUM_WAVES)),
        shift_mm=shift_mm,
        rotation_deg=rotation_deg,
        inhale=draw_acquisition(rng),
        exhale=draw_acquisition(rng),
        swap=bool(rng.uniform() < swap_prob),
        seed=int(rng.randint(2**31 - 1)),
    )


def draw_position(rng: np.random.RandomState) -> tuple[Vector, Vector]:
    """Draw `shift_mm` and `rotation_deg`: the patient's position in the exhale scan."""
    shift_mm = as_vector([rng.uniform(*limits) for limits in SHIFT_MM])
    return shift_mm, as_vector(rng.uniform(-ROTATION_DEG, ROTATION_DEG, 3))


def _draw_wave(rng: np.random.RandomState) -> Wave:
    wave = rng.standard_normal(3)
    wavelength_mm = rng.uniform(*WAVELENGTH_MM)
    wave *= 2 * np.pi / (wavelength_mm * np.linalg.norm(wave))
    amplitude = rng.standard_normal(3)
    amplitude *= rng.uniform(*WAVE_STRAIN) * wavelength_mm / (2 * np.pi * np.linalg.norm(amplitude))
    return Wave(as_vector(amplitude), as_vector(wave), float(rng.uniform(0, 2 * np.pi)))
