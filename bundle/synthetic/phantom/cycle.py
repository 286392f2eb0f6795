"""A breathing thorax phantom over one cycle: the phases of a 4DCT with exact positions of every point.

In phase k of n the lift of the diaphragm is (1 - cos 2πk/n) / 2 of the breath's. Swirl and chest wall follow `LAG` of a
cycle later, so that tissue moves on loops (hysteresis), as in patients.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from bundle.synthetic.phantom.breathing import BreathingTransform
from bundle.synthetic.phantom.case import draw_grid, draw_patient
from bundle.synthetic.phantom.render import add_noise, render

LAG = 0.08  # of a cycle
NOISE_HU = 28.0


@dataclass(frozen=True)
class PhantomPhase:
    """One phase; world RAS mm, all phases on one grid.

    Args:
        name: per cent of the cycle, from the deepest inhale.
        scan: (H, W, D) int16 HU.
        affine: (4, 4), voxel to world.
        mask: (H, W, D) uint8, both lungs.
        landmarks_mm: (300, 3), the same vessel bifurcations in every phase.
        transform: patient at full inhale (no phase) to this phase.
    """

    name: str
    scan: NDArray[np.int16]
    affine: NDArray[np.float64]
    mask: NDArray[np.uint8]
    landmarks_mm: NDArray[np.float64]
    transform: BreathingTransform


def phantom_cycle(
    seed: int,
    *,
    phases: int = 10,
    spacing_mm: tuple[float, float, float] = (2.0, 2.0, 2.5),
    diaphragm_mm: tuple[float, float] = (10.0, 20.0),
    body_scale: float = 1.0,
) -> Iterator[PhantomPhase]:
    """The phases of a breathing cycle of one patient at rest on the table, one after the other.

    Args:
        seed: seed of patient and breath.
        phases: evenly spaced over the cycle.
        spacing_mm: voxel size.
        diaphragm_mm: range of the maximum superior motion of the diaphragm.
        body_scale: size of the patient relative to an average adult.
    """
    patient = draw_patient(
        seed,
        body_scale=body_scale,
        diaphragm_mm=diaphragm_mm,
        mean_mm=(0.0, math.inf),
        shift_mm=0.0,
        rotation_deg=0.0,
    )
    scene, landmarks = patient.scene, patient.landmarks_mm
    extreme = np.concatenate([patient.inhale_mm, patient.exhale_mm])
    shape, affine = draw_grid(patient.grids, extreme, np.array(spacing_mm))
    for number in range(phases):
        transform = partial_breath(scene.transform, _share(number / phases), _share(number / phases - LAG))
        hu, mask = render(replace(scene, transform=transform), shape, affine, exhale=True)
        yield PhantomPhase(
            name=f"{100 * number / phases:.0f}",
            scan=add_noise(hu, patient.noises, NOISE_HU),
            affine=affine,
            mask=mask,
            landmarks_mm=np.stack(transform.forward(*landmarks.T), axis=1),
            transform=transform,
        )


def partial_breath(breath: BreathingTransform, lift: float, wall: float) -> BreathingTransform:
    """A breath with these shares of the lift, and of the swirl and the motion of the chest wall."""
    motions = []
    for motion in breath.motions:
        tube, end = motion.inhale, motion.exhale
        width, depth = end.half_width_mm / tube.half_width_mm, end.depth_mm / tube.depth_mm
        heart_mm = lift * (end.notch_z_mm - tube.notch_z_mm)
        waves = [[[wall * size, *rest] for size, *rest in part] for part in motion.waves]
        exhale = tube.contracted(1.0 + wall * (width - 1.0), 1.0 + wall * (depth - 1.0), heart_mm)
        motions.append(replace(motion, exhale=exhale, lift_mm=lift * motion.lift_mm, waves=waves))
    return replace(breath, motions=(motions[0], motions[1]), heart_mm=lift * breath.heart_mm)


def _share(of_cycle: float) -> float:
    """Share of the breath that is exhaled."""
    return (1.0 - math.cos(2.0 * math.pi * of_cycle)) / 2.0
