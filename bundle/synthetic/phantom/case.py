"""Breathing thorax phantoms: two chest CTs of one patient with a ground-truth field.

Vessels and airways keep their CT numbers and are redrawn at their displaced positions, radii scaled by the cube root of
the Jacobian; the parenchyma conserves mass (HU + 1000 divided by the Jacobian); noise differs between the scans.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from bundle.synthetic.phantom.anatomy import Anatomy, Array, draw_anatomy
from bundle.synthetic.phantom.breathing import BreathingTransform, draw_breathing
from bundle.synthetic.phantom.render import Scene, add_noise, grid_points, render
from bundle.synthetic.phantom.tissue import draw_parenchyma
from bundle.synthetic.phantom.trees import grow_structures

VERSION = 5  # part of the cache folder's name: increment it when the output of a seed changes
NUM_LANDMARKS = 300
LANDMARK_DEPTH_MM = 5.0  # minimum distance from the pleura, where a sampled field blurs the sliding
DIRECTIONS = ((-1, -1, 1), (1, 1, 1), (-1, -1, -1))  # identity in ITK, in NIfTI, direction of DIR-Lab


@dataclass(frozen=True)
class PhantomCase:
    """A pair of scans with its ground-truth field; world RAS mm, T maps fixed (inhale) to moving (exhale).

    Args:
        seed: seed of the case.
        fixed, moving: (H, W, D) int16 HU, each on its own grid.
        fixed_affine, moving_affine: (4, 4), voxel to world.
        fixed_mask, moving_mask: (H, W, D) uint8, both lungs.
        fixed_landmarks_mm, moving_landmarks_mm: (300, 3) vessel bifurcations, matching rows.
        displacement_mm: (3, H, W, D) float32, T(x) - x on the fixed grid.
        transform: T.
    """

    seed: int
    fixed: NDArray[np.int16]
    moving: NDArray[np.int16]
    fixed_affine: NDArray[np.float64]
    moving_affine: NDArray[np.float64]
    fixed_mask: NDArray[np.uint8]
    moving_mask: NDArray[np.uint8]
    fixed_landmarks_mm: NDArray[np.float64]
    moving_landmarks_mm: NDArray[np.float64]
    displacement_mm: NDArray[np.float32]
    transform: BreathingTransform


def make_phantom(
    seed: int,
    *,
    spacing_mm: tuple[float, float, float] = (2.0, 2.0, 2.5),
    diaphragm_mm: tuple[float, float] = (17.0, 31.0),
    mean_mm: tuple[float, float] = (12.5, 30.5),
    shift_mm: float = 20.0,
    rotation_deg: float = 2.5,
    body_scale: float = 1.0,
) -> PhantomCase:
    """Generate a phantom; equal arguments give equal phantoms. Patient and motion do not depend on the spacing.

    Args:
        seed: seed of patient and breath.
        spacing_mm: voxel size of fixed; that of moving differs by a few per cent in plane.
        diaphragm_mm: range of the maximum superior motion of the diaphragm; default: DIR-Lab COPDgene.
        mean_mm: range of the mean TRE without registration; default: DIR-Lab COPDgene.
        shift_mm, rotation_deg: maximum change of the patient's position between the scans.
        body_scale: size of the patient relative to an average adult.
    Raises: ValueError if a spacing is not positive or no position gives a mean in `mean_mm`.
    """
    if min(spacing_mm) <= 0:
        raise ValueError(f"spacing_mm: expected three positive numbers, got {spacing_mm}")
    patient = draw_patient(
        seed,
        body_scale=body_scale,
        diaphragm_mm=diaphragm_mm,
        mean_mm=mean_mm,
        shift_mm=shift_mm,
        rotation_deg=rotation_deg,
    )
    scene, landmarks, inhale, exhale, grids, noises = patient
    transform = scene.transform
    fixed_shape, fixed_affine = draw_grid(grids, inhale, np.array(spacing_mm))
    zoom = np.array([1.0, 1.0, 0.0]) * grids.uniform(-0.05, 0.08) + 1.0
    moving_shape, moving_affine = draw_grid(grids, exhale, np.array(spacing_mm) * zoom)
    fixed_hu, fixed_mask = render(scene, fixed_shape, fixed_affine, exhale=False)
    moving_hu, moving_mask = render(scene, moving_shape, moving_affine, exhale=True)
    grid = grid_points(fixed_shape, fixed_affine)
    mapped = transform.forward(*grid)
    displacement = np.stack([np.asarray(new - old, np.float32) for new, old in zip(mapped, grid, strict=True)])
    return PhantomCase(
        seed=seed,
        fixed=add_noise(fixed_hu, noises, float(noises.uniform(20, 32))),
        moving=add_noise(moving_hu, noises, float(noises.uniform(24, 40))),
        fixed_affine=fixed_affine,
        moving_affine=moving_affine,
        fixed_mask=fixed_mask,
        moving_mask=moving_mask,
        fixed_landmarks_mm=landmarks,
        moving_landmarks_mm=np.stack(transform.forward(*landmarks.T), axis=1),
        displacement_mm=displacement,
        transform=transform,
    )


class PhantomPatient(NamedTuple):
    """A patient and a breath, before they are scanned.

    Args:
        scene: what is rendered.
        landmarks_mm: (300, 3), vessel bifurcations at inhale.
        inhale_mm, exhale_mm: (N, 3), points spread over the lungs.
        grids, noises: generators of the scans.
    """

    scene: Scene
    landmarks_mm: NDArray[np.float64]
    inhale_mm: Array
    exhale_mm: Array
    grids: np.random.Generator
    noises: np.random.Generator


def draw_patient(
    seed: int,
    *,
    body_scale: float,
    diaphragm_mm: tuple[float, float],
    mean_mm: tuple[float, float],
    shift_mm: float,
    rotation_deg: float,
) -> PhantomPatient:
    """Draw a patient and a breath; the arguments are those of `make_phantom`."""
    people, breaths, trees, grids, noises = (np.random.default_rng(s) for s in np.random.SeedSequence(seed).spawn(5))
    anatomy = draw_anatomy(people, body_scale=body_scale)
    structures = grow_structures(trees, anatomy)
    landmarks = pick_landmarks(anatomy, structures.forks_mm)
    transform = draw_breathing(
        breaths,
        anatomy,
        landmarks_mm=landmarks,
        diaphragm_mm=diaphragm_mm,
        mean_mm=mean_mm,
        shift_mm=shift_mm,
        rotation_deg=rotation_deg,
    )
    scene = Scene(anatomy, transform, draw_parenchyma(people, anatomy), structures)
    inhale = np.concatenate([np.stack(lung.cloud(), axis=1) for lung in anatomy.lungs])
    return PhantomPatient(scene, landmarks, inhale, np.stack(transform.forward(*inhale.T), axis=1), grids, noises)


def draw_grid(
    rng: np.random.Generator, lungs_mm: Array, spacing_mm: Array
) -> tuple[tuple[int, int, int], NDArray[np.float64]]:
    """Draw a field of view around lung points (N, 3): shape and axis-aligned affine."""
    low = lungs_mm.min(axis=0) - rng.uniform([12, 34, 12], [24, 44, 28])  # includes the back and the table
    high = lungs_mm.max(axis=0) + rng.uniform([12, 16, 12], [24, 32, 28])
    signs = np.array(DIRECTIONS[rng.integers(len(DIRECTIONS))])
    shape = np.ceil((high - low) / spacing_mm).astype(int) + 1
    affine = np.diag([*(signs * spacing_mm), 1.0])
    affine[:3, 3] = np.where(signs > 0, low, low + (shape - 1) * spacing_mm)
    return (int(shape[0]), int(shape[1]), int(shape[2])), affine


def pick_landmarks(anatomy: Anatomy, forks: NDArray[np.float64]) -> NDArray[np.float64]:
    """Farthest-point sample (300, 3) of the bifurcations deeper than `LANDMARK_DEPTH_MM` in the lungs."""
    depth = np.full(len(forks), -1.0)
    for lung in anatomy.lungs:
        a, b = lung.to_chart(forks[:, 0], forks[:, 1], forks[:, 2])
        inside = a * a + b * b < 1.0
        depth[inside] = lung.inside_depth_mm(a[inside], b[inside], forks[inside, 2])
    forks = forks[depth > LANDMARK_DEPTH_MM]
    if len(forks) < NUM_LANDMARKS:
        raise ValueError(f"forks: expected at least {NUM_LANDMARKS} bifurcations inside the lungs, got {len(forks)}")
    picked = [0]
    gap = np.full(len(forks), np.inf)
    for _ in range(NUM_LANDMARKS - 1):
        gap = np.minimum(gap, ((forks - forks[picked[-1]]) ** 2).sum(axis=1))
        picked.append(int(gap.argmax()))
    return forks[picked]
