"""CT numbers of the phantom's tissues as functions of the position at inhale (mm, patient frame)."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from bundle.resample import AIR_HU
from bundle.synthetic.phantom.anatomy import Anatomy, Array, LungShape

FAT_HU, MUSCLE_HU, BLOOD_HU, LIVER_HU, MARROW_HU, CORTEX_HU = -95.0, 48.0, 42.0, 62.0, 190.0, 480.0
WALL_HU = -60.0  # bronchial wall
TABLE_HU = -350.0
VERTEBRA_MM = 25.0


@dataclass(frozen=True)
class Parenchyma:
    """Lung tissue with conserved mass: density (HU + 1000) times volume is equal in both scans.

    Args:
        density: mean of HU + 1000 at inhale.
        gravity: relative increase of the density towards the back, per 100 mm.
        waves: (K, 5) relative amplitude, wave vector in rad/mm, phase.
        fissures: (2, 2, 2) per lung: height at y = 0 in mm and slope dz/dy of up to two fissures.
    """

    density: float
    gravity: float
    waves: Array
    fissures: Array

    def density_at(self, lung: int, x: Array, y: Array, z: Array, blur_mm: float) -> Array:
        """HU + 1000 at inhale of points in lung 0 (right) or 1 (left)."""
        pattern = 1.0 - (0.01 * self.gravity) * y
        for size, kx, ky, kz, phase in self.waves.tolist():
            pattern = pattern + size * np.sin(kx * x + ky * y + (kz * z + phase))
        density = self.density * np.clip(pattern, 0.3, 2.5)
        above: float | Array = 1.0
        for height, slope in self.fissures[lung].tolist():
            gap = (z - height - slope * y) / math.hypot(1.0, slope)
            density = density + above * 230.0 / max(blur_mm, 1.0) * np.exp(-0.5 * (gap / blur_mm) ** 2)
            above = soft_step(gap, blur_mm)  # the horizontal fissure ends at the oblique one
        return density


def draw_parenchyma(rng: np.random.Generator, anatomy: Anatomy) -> Parenchyma:
    """Draw lung tissue: about -870 HU at inhale, with emphysematous and denser regions."""
    wavelength_mm = np.concatenate([rng.uniform(60, 130, 5), rng.uniform(22, 45, 5), rng.uniform(9, 16, 6)])
    size = np.concatenate([rng.uniform(0.04, 0.1, 5), rng.uniform(0.02, 0.05, 5), rng.uniform(0.02, 0.045, 6)])
    direction = rng.normal(size=(16, 3))
    direction *= (2 * np.pi / wavelength_mm / np.linalg.norm(direction, axis=1))[:, None]
    waves = np.concatenate([size[:, None], direction, rng.uniform(0, 6.3, (16, 1))], axis=1)
    low = anatomy.left.base_mm
    oblique = [(low + 62 + rng.uniform(-8, 8), -1.05 + rng.uniform(-0.1, 0.1)) for _ in range(2)]
    horizontal = (low + 88 + rng.uniform(-8, 8), 0.1)
    nowhere = (1e4, 0.0)
    return Parenchyma(
        density=float(rng.uniform(85, 115)),
        gravity=float(rng.uniform(0.2, 0.4)),
        waves=waves,
        fissures=np.array([[oblique[0], horizontal], [oblique[1], nowhere]]),
    )


def soft_step(depth_mm: Array, blur_mm: float) -> Array:
    """Volume fraction of a structure in a voxel at signed distance `depth_mm` from its surface, positive inside."""
    return np.clip(0.5 + depth_mm / (2.5 * blur_mm), 0.0, 1.0)


def _blend(hu: Array, value_hu: float | Array, fill: Array) -> Array:
    return hu + (value_hu - hu) * fill


def organs_hu(anatomy: Anatomy, x: Array, y: Array, z: Array, blur_mm: float) -> Array:
    """HU of all tissue except lungs, abdomen below the lungs and tubes."""
    bx, by = anatomy.body_mm
    across, front = (x / bx) ** 2, (y / by) ** 2
    round_shape, square_shape = np.sqrt(across + front), np.sqrt(np.sqrt(across * across + front * front))
    shape = np.maximum(round_shape, 0.5 * (round_shape + square_shape))
    depth = (1.0 - shape) * by
    hu = _blend(np.float32(AIR_HU) + 0 * depth, FAT_HU, soft_step(depth, blur_mm))
    ripple = 3.0 * np.sin(0.05 * x + 0.03 * z) + 2.0 * np.sin(0.11 * x - 0.06 * z)
    hu = _blend(hu, MUSCLE_HU, soft_step(depth - anatomy.fat_mm - ripple, blur_mm))
    hu = _blend(hu, FAT_HU, 0.8 * soft_step(4.0 - np.abs(depth - anatomy.fat_mm - 12.0 - ripple), 2 * blur_mm))
    hx, hy, hz = anatomy.heart_mm
    medial, extent = anatomy.right.medial_mm, 0.8 * anatomy.right.depth_mm
    across, front = (x / (1.9 * medial)) ** 2, ((y - 4.0) / extent) ** 2
    fat = (1.0 - np.sqrt(np.sqrt(across * across + front * front))) * medial
    hu = _blend(hu, FAT_HU + 12.0, soft_step(fat, blur_mm) * soft_step(z - hz + 58.0, 4.0))
    sx, sy, sz = anatomy.heart_size_mm
    heart = np.sqrt(((x - hx) / sx) ** 2 + ((y - hy) / sy) ** 2 + ((z - hz + 0.3 * (x - hx)) / sz) ** 2)
    hu = _blend(hu, BLOOD_HU, soft_step((1.0 - heart) * sy, blur_mm))
    return _spine(anatomy, hu, x, y, z, blur_mm)


def _spine(anatomy: Anatomy, hu: Array, x: Array, y: Array, z: Array, blur_mm: float) -> Array:
    front = anatomy.spine_y_mm
    level = np.abs(np.mod(z, VERTEBRA_MM) - 0.5 * VERTEBRA_MM)
    waist = 1.0 + 0.1 * (level / 12.5) ** 2
    body = (1.0 - np.hypot(x / (18.0 * waist), (y - front) / (15.0 * waist))) * 15.0
    marrow = MARROW_HU + 160.0 * np.exp(-(((body - 1.0) / 1.8) ** 2))
    disc = soft_step(level - 10.2, 0.7 * blur_mm)
    hu = _blend(hu, _blend(marrow, 85.0, disc), soft_step(body, blur_mm))
    arch = (1.0 - np.hypot(x / 15.0, (y - front + 25.0) / 13.0)) * 13.0
    process = np.minimum(4.0 - np.abs(x), np.minimum(front - 30.0 - y, y - front + 62.0 - 0.6 * level))
    wings = np.minimum(5.0 - np.abs(y - front + 24.0 + 0.25 * np.abs(x)), 34.0 - np.abs(x))
    bone = np.maximum(arch, np.minimum(np.maximum(process, wings), 9.0 - level))
    hu = _blend(hu, CORTEX_HU - 130.0, soft_step(bone, blur_mm))
    canal = (1.0 - np.hypot(x / 9.0, (y - front + 23.0) / 8.0)) * 8.0
    return _blend(hu, 25.0, soft_step(canal, blur_mm))


def abdomen_hu(lung: LungShape, x: Array, y: Array, z: Array, blur_mm: float) -> Array:
    """HU below the diaphragm: liver on the right; stomach with gas, fat and spleen on the left."""
    if lung.side > 0:
        return np.full(np.broadcast_shapes(x.shape, y.shape, z.shape), LIVER_HU, np.float32)
    top = lung.base_mm
    spleen = (1.0 - np.sqrt(((x + 95) / 38) ** 2 + ((y + 42) / 44) ** 2 + ((z - top + 12) / 40) ** 2)) * 38
    stomach = (1.0 - np.sqrt(((x + 62) / 36) ** 2 + ((y - 18) / 40) ** 2 + ((z - top + 5) / 32) ** 2)) * 34
    hu = np.full(np.broadcast_shapes(x.shape, y.shape, z.shape), FAT_HU + 25.0, np.float32)
    hu = _blend(hu, LIVER_HU - 8.0, soft_step(spleen, blur_mm))
    hu = _blend(hu, 32.0, soft_step(stomach, blur_mm))
    gas = np.minimum(stomach - 4.0, y - 24.0)
    return _blend(hu, AIR_HU + 30.0, soft_step(gas, blur_mm))


def table_hu(back_mm: float, x: Array, y: Array, blur_mm: float) -> Array:
    """HU of the curved table top behind a patient with the back at `back_mm`; air elsewhere."""
    surface = back_mm - 5.0 + (x / 200.0) ** 2 * 45.0
    shell = 1.5 - np.abs(np.abs(y - surface + 9.0) - 8.0)
    return AIR_HU + (TABLE_HU - AIR_HU) * soft_step(shell, blur_mm)
