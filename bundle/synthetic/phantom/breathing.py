"""Breathing of the phantom: ground-truth map T from the inhale to the exhale scan, with sliding at the pleura.

Motion inside each lung's tube: `motion.py`. Outside, the chest wall follows the tube's cross-section and the
mediastinum part of the lift. Both maps send the pleura to the same surface: tissue slides without gaps. A rigid map of
the whole patient (change of position on the table) is applied last.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from bundle.synthetic.phantom.anatomy import Anatomy, Array, LungShape, Triple
from bundle.synthetic.phantom.motion import LungMotion

FADE = 0.2  # extent of the deforming chest wall, in radii of the tube (10 to 17 mm); the ribs are at its outer end
FRONT_FADE = 1.0  # the same between the lungs in front of the heart, where there is no bone
OUTSIDE_STEPS = 30
POSITION_TRIES = 200
LEAST_JACOBIAN = 0.3  # lower limit of the Jacobian determinant in the lungs


@dataclass(frozen=True)
class BreathingTransform:
    """T: inhale (fixed) to exhale (moving) world, RAS mm. Points are three broadcastable arrays x, y, z."""

    anatomy: Anatomy
    motions: tuple[LungMotion, LungMotion]
    heart_mm: float
    rotation: Array
    shift_mm: Array

    def tube_of(self, x: Array, y: Array, z: Array) -> NDArray[np.int8]:
        """Tube of each point at inhale: 0 right, 1 left, -1 none."""
        tube = np.full(np.broadcast_shapes(np.shape(x), np.shape(y), np.shape(z)), -1, np.int8)
        for index, motion in enumerate(self.motions):
            a, b = motion.inhale.to_chart(x, y, z)
            tube[a * a + b * b < 1.0] = index
        return tube

    def breathe(self, x: Array, y: Array, z: Array) -> Triple:
        """Map the patient frame at inhale to the patient frame at exhale."""
        new = tuple(np.array(part) for part in self._outside(x, y, z))
        tube = self.tube_of(x, y, z)
        points = np.broadcast_arrays(x, y, z)
        for index, motion in enumerate(self.motions):
            chosen = tube == index
            for part, value in zip(new, motion.forward(*(point[chosen] for point in points)), strict=True):
                part[chosen] = value
        return new[0], new[1], new[2]

    def forward(self, x: Array, y: Array, z: Array) -> Triple:
        """Map points of the fixed world by T."""
        return self.rigid(*self.breathe(x, y, z))

    def rigid(self, x: Array, y: Array, z: Array) -> Triple:
        """Map the patient frame to the moving world."""
        rows = self.rotation.astype(np.result_type(x))
        shift = self.shift_mm.astype(np.result_type(x))
        parts = [row[0] * x + row[1] * y + row[2] * z + move for row, move in zip(rows, shift, strict=True)]
        return parts[0], parts[1], parts[2]

    def rigid_inverse(self, x: Array, y: Array, z: Array) -> Triple:
        """Map the moving world to the patient frame."""
        shift = self.shift_mm.astype(np.result_type(x))
        x, y, z = x - shift[0], y - shift[1], z - shift[2]
        columns = self.rotation.T.astype(np.result_type(x))
        parts = [row[0] * x + row[1] * y + row[2] * z for row in columns]
        return parts[0], parts[1], parts[2]

    def outside_inverse(self, x: Array, y: Array, z: Array) -> Triple:
        """Map the patient frame at exhale to inhale, outside the tubes, by damped fixed-point iteration."""
        old = (x.copy(), y.copy(), z.copy())
        for _ in range(OUTSIDE_STEPS):
            new = self._outside(*old)
            old = tuple(p + 0.55 * (t - n) for p, t, n in zip(old, (x, y, z), new, strict=True))  # type: ignore[assignment]
        return old

    def _heart_lift_mm(self, x: Array, y: Array, z: Array) -> Array:
        right, (hx, hy, _) = self.anatomy.right, self.anatomy.heart_mm
        s = np.clip((right.apex_mm - z) / (right.apex_mm - right.base_mm - right.dome_mm), 0.0, 1.0)
        across, front = ((x - 0.5 * hx) / 55.0) ** 2, ((y - 0.7 * hy) / 50.0) ** 2
        return self.heart_mm * s * (np.exp(-across * across) * np.exp(-front * front))

    def _outside(self, x: Array, y: Array, z: Array) -> Triple:
        z_new = z + self._heart_lift_mm(x, y, z)
        distances, fades, moves = [], [], []
        for motion in self.motions:
            a, b = motion.inhale.to_chart(x, y, z)
            squared = a * a + b * b
            distances.append(np.clip(np.sqrt(squared) - 1.0, 1e-6, None))
            front = np.clip(-a, 0.0, None) * np.clip(b, 0.0, None) / np.maximum(squared, 0.1)  # at most 1/2
            fade = np.clip(1.0 - distances[-1] / (FADE + 2.0 * (FRONT_FADE - FADE) * front), 0.0, 1.0)
            fades.append(fade * fade * (3.0 - 2.0 * fade))
            x_new, y_new = motion.exhale.from_chart(a, b, z_new)
            moves.append((x_new - x, y_new - y))
        total = distances[0] + distances[1]
        x_out, y_out = x, y
        for (dx, dy), fade, far in zip(moves, fades, distances[::-1], strict=True):
            weight = fade * far / total
            x_out, y_out = x_out + weight * dx, y_out + weight * dy
        return x_out, y_out, z_new


def draw_breathing(
    rng: np.random.Generator,
    anatomy: Anatomy,
    *,
    landmarks_mm: Array,
    diaphragm_mm: tuple[float, float],
    mean_mm: tuple[float, float],
    shift_mm: float,
    rotation_deg: float,
) -> BreathingTransform:
    """Draw a breath and a change of the patient's position.

    Args:
        rng: source of randomness.
        anatomy: the patient at inhale.
        landmarks_mm: (N, 3) landmarks at inhale.
        diaphragm_mm: range of the maximum superior motion of the diaphragm.
        mean_mm: range of the landmarks' mean displacement, including the change of position, which is redrawn to fit.
        shift_mm: maximum shift of the patient between the scans, mostly upwards; smaller front to back and sideways.
        rotation_deg: maximum rotation about each axis.
    Raises: ValueError if no position gives such a mean displacement.
    """
    peak = float(rng.uniform(*diaphragm_mm))
    effort = (peak - diaphragm_mm[0]) / max(diaphragm_mm[1] - diaphragm_mm[0], 1e-6)
    depth = 1.0 - float(rng.uniform(0.04, 0.06)) - 0.04 * effort
    width = 1.0 - float(rng.uniform(0.02, 0.04)) - 0.03 * effort
    heart_mm = 0.55 * peak
    motions = []
    for lung, share in zip(anatomy.lungs, rng.permutation([1.0, rng.uniform(0.82, 1.0)]).tolist(), strict=True):
        exhale = lung.contracted(width, depth, 0.7 * heart_mm)
        motions.append(_draw_lung_motion(rng, lung, exhale, peak * share))
    breath = BreathingTransform(anatomy, (motions[0], motions[1]), heart_mm, np.eye(3), np.zeros(3))
    low_mm = np.array([-0.2, -0.3, -0.3]) * shift_mm
    high_mm = np.array([0.2, 0.3, 1.0]) * shift_mm
    for _ in range(POSITION_TRIES):
        angles = rng.uniform(-rotation_deg, rotation_deg, 3)
        turn = Rotation.from_euler("xyz", angles, degrees=True).as_matrix()
        placed = replace(breath, rotation=turn, shift_mm=rng.uniform(low_mm, high_mm))
        moved = np.stack(placed.forward(*landmarks_mm.T), axis=1)
        if mean_mm[0] <= np.linalg.norm(moved - landmarks_mm, axis=1).mean() <= mean_mm[1]:
            return placed
    raise ValueError(
        f"mean_mm: {peak:.1f} mm at the diaphragm and {shift_mm:g} mm of shift give no mean within {mean_mm}"
    )


def _draw_lung_motion(rng: np.random.Generator, inhale: LungShape, exhale: LungShape, peak_mm: float) -> LungMotion:
    """Draw a motion with maximum diaphragm lift `peak_mm` and a Jacobian above `LEAST_JACOBIAN`."""
    cloud = inhale.cloud()
    disc = inhale.to_chart(*cloud)
    while True:
        ripple = np.stack([rng.uniform(-0.06, 0.06, 2), rng.uniform(0, 6.3, 2), rng.uniform(0, 6.3, 2)], axis=1)
        waves = np.concatenate(
            [rng.uniform(-1, 1, (2, 3, 1)), rng.uniform(-2.2, 2.2, (2, 3, 3)), rng.uniform(0, 6.3, (2, 3, 1))], axis=2
        )
        waves[0, :, 0] *= 0.08  # of half a width
        waves[1, :, 0] *= 0.06
        motion = LungMotion(
            inhale=inhale,
            exhale=exhale,
            lift_mm=1.0,
            curve=float(rng.uniform(-0.35, 0.25)),
            ripple=ripple.tolist(),
            waves=waves.tolist(),
        )
        motion = replace(motion, lift_mm=peak_mm / float(motion.lift_at(*disc).max()))
        if motion.inverse(*motion.forward(*cloud))[3].min() > LEAST_JACOBIAN:
            return motion
