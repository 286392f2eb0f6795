"""Motion of one lung and its tube, in closed form.

T = chart'⁻¹ ∘ swirl ∘ lift ∘ chart (`anatomy.py`). The lift acts along z only, so the pleura slides along the chest
wall; it is zero at the cap, equals the diaphragm's motion at the diaphragm and is constant in the abdomen below. The
swirl acts on (a, b) and vanishes at the wall. chart' is the tube at exhale, with smaller width and depth.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bundle.synthetic.phantom.anatomy import Array, LungShape, Triple

NEWTON_STEPS = 6  # residual below 1e-6 mm


@dataclass(frozen=True)
class LungMotion:
    """Motion within one tube.

    Args:
        inhale, exhale: the tube at inhale and exhale.
        lift_mm: scale of the diaphragm's superior motion, see `lift_at`.
        curve: profile of the lift from cap to diaphragm, (1 - curve) s + curve s².
        ripple: waves of the lift over the disc: relative amplitude, phase, direction in rad.
        waves: swirl of a and of b: amplitude, wave vector over (a, b, z / 80 mm), phase.
    """

    inhale: LungShape
    exhale: LungShape
    lift_mm: float
    curve: float
    ripple: list[list[float]]
    waves: list[list[list[float]]]

    def lift_at(self, a: Array, b: Array) -> Array:
        """Lift of the diaphragm below each point of the disc, mm."""
        edge = np.clip(b, -1.1, 1.1)
        lift = 0.93 - 0.26 * np.minimum(a * a + (edge + 0.25) ** 2, 1.5)
        for size, phase, angle in self.ripple:
            lift = lift + size * np.sin(2.5 * (math.cos(angle) * a + math.sin(angle) * edge) + phase)
        return lift * self.lift_mm

    def _swirl(self, a: Array, b: Array, z: Array) -> tuple[list[NDArray], list[tuple[NDArray, NDArray]]]:
        """Shifts of a and b, and their derivatives with respect to a and b."""
        room = np.clip(1.0 - a * a - b * b, 0.0, None)
        within = room > 0.0
        shifts, slopes = [], []
        for waves in self.waves:
            value, da, db = 0.0, 0.0, 0.0
            for size, ka, kb, kz, phase in waves:
                angle = ka * a + kb * b + (kz / 80.0 * z + phase)
                slope = size * np.cos(angle)
                value, da, db = value + size * np.sin(angle), da + ka * slope, db + kb * slope
            shifts.append(room * value)
            slopes.append((room * da - within * (2.0 * a * value), room * db - within * (2.0 * b * value)))
        return shifts, slopes

    def _unswirl(self, a_new: Array, b_new: Array, z: Array) -> tuple[Array, Array, Array]:
        """Invert the swirl by Newton's method: (a, b) and its Jacobian determinant there."""
        a, b = a_new, b_new
        for _ in range(NEWTON_STEPS):
            (da, db), ((aa, ab), (ba, bb)) = self._swirl(a, b, z)
            left_a, left_b = a_new - a - da, b_new - b - db
            determinant = (1.0 + aa) * (1.0 + bb) - ab * ba
            a, b = (
                a + ((1.0 + bb) * left_a - ab * left_b) / determinant,
                b + ((1.0 + aa) * left_b - ba * left_a) / determinant,
            )
        _, ((aa, ab), (ba, bb)) = self._swirl(a, b, z)
        return a, b, (1.0 + aa) * (1.0 + bb) - ab * ba

    def forward(self, x: Array, y: Array, z: Array) -> Triple:
        """Map points of the tube from inhale to exhale."""
        a, b = self.inhale.to_chart(x, y, z)
        lift, top = self.lift_at(a, b), self.inhale.top_mm(a, b)
        s = np.clip((top - z) / (top - self.inhale.diaphragm_mm(a, b)), 0.0, 1.0)
        z_new = z + lift * s * (1.0 - self.curve + self.curve * s)
        (da, db), _ = self._swirl(a, b, z_new)
        return (*self.exhale.from_chart(a + da, b + db, z_new), z_new)

    def inverse(self, x: Array, y: Array, z: Array) -> tuple[Array, Array, Array, Array]:
        """Map points of the tube from exhale to (a, b, z) at inhale; also the Jacobian of the forward map there."""
        a_new, b_new = self.exhale.to_chart(x, y, z)
        a, b, swirl = self._unswirl(a_new, b_new, z)
        lift, top = self.lift_at(a, b), self.inhale.top_mm(a, b)
        height = top - self.inhale.diaphragm_mm(a, b)
        drop = np.clip(top - z, 0.0, None)
        slope = height - lift * (1.0 - self.curve)  # lift * curve * s² - slope * s + drop = 0
        s = 2.0 * drop / (slope + np.sqrt(slope * slope - 4.0 * lift * self.curve * np.minimum(drop, height - lift)))
        moved = lift * np.minimum(s, 1.0) * (1.0 - self.curve + self.curve * np.minimum(s, 1.0))
        moving = (s > 0.0) & (s < 1.0)
        stretch = 1.0 - moving * lift * (1.0 - self.curve + 2.0 * self.curve * s) / height
        z_old = z - moved
        change = self.exhale.volume_element(b_new, z) / self.inhale.volume_element(b, z_old)
        return a, b, z_old, change * stretch * swirl
