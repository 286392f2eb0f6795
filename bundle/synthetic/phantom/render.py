"""Render the CT of one phase of a phantom: maps every voxel back to its position at inhale."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from scipy import ndimage

from bundle.resample import AIR_HU
from bundle.synthetic.phantom import tissue
from bundle.synthetic.phantom.anatomy import Anatomy, Array, Triple
from bundle.synthetic.phantom.breathing import BreathingTransform
from bundle.synthetic.phantom.trees import Structures, Tubes
from bundle.synthetic.phantom.tubes import draw_tubes

PIECE_MM = 6.0  # length of the straight pieces into which tubes are split before they are moved
LATTICE_MM = 8.0  # spacing of the inverse map outside the lungs; inside it is exact at every voxel
NEAR = 1.3  # maximum squared chart radius of voxels that touch the lung


@dataclass(frozen=True)
class Scene:
    """One patient with one breath."""

    anatomy: Anatomy
    transform: BreathingTransform
    parenchyma: tissue.Parenchyma
    structures: Structures


def grid_points(shape: tuple[int, int, int], affine: Array) -> Triple:
    """World mm of every voxel: three float32 arrays that broadcast to `shape`; axis-aligned grids only."""
    axes = [
        (affine[axis, axis] * np.arange(size) + affine[axis, 3]).astype(np.float32) for axis, size in enumerate(shape)
    ]
    return axes[0][:, None, None], axes[1][None, :, None], axes[2][None, None, :]


def render(
    scene: Scene, shape: tuple[int, int, int], affine: Array, *, exhale: bool
) -> tuple[NDArray[np.float32], NDArray[np.uint8]]:
    """Noise-free CT, HU float32, and lung mask, uint8, both (H, W, D), on a grid in the scan's world."""
    world = grid_points(shape, affine)
    blur_mm = 0.42 * float(np.cbrt(np.abs(np.diag(affine)[:3]).prod()))
    points = scene.transform.rigid_inverse(*world) if exhale else world
    before = _outside_before(scene, points, affine, shape) if exhale else world
    hu = np.array(np.broadcast_to(tissue.organs_hu(scene.anatomy, *before, blur_mm), shape), np.float32)
    mask = np.zeros(shape, np.uint8)
    for index in range(2):
        _fill_tube(scene, index, points, hu, mask, blur_mm, exhale=exhale)
    _draw_structures(scene, hu, affine, exhale=exhale)
    shift = scene.transform.shift_mm if exhale else np.zeros(3)
    back_mm = -scene.anatomy.body_mm[1] + float(shift[1])
    np.maximum(hu, tissue.table_hu(back_mm, world[0] - np.float32(shift[0]), world[1], blur_mm), out=hu)
    return hu, mask


def add_noise(hu: Array, rng: np.random.Generator, sd_hu: float) -> NDArray[np.int16]:
    """Add spatially correlated noise of standard deviation `sd_hu` and round to int16."""
    noise = ndimage.gaussian_filter(rng.standard_normal(hu.shape, np.float32), 0.55, truncate=3.0)
    noise *= sd_hu / noise.std()
    return np.clip(np.rint(hu + noise), -1024, 3071).astype(np.int16)


def _outside_before(scene: Scene, points: Triple, affine: Array, shape: tuple[int, int, int]) -> Triple:
    """Positions at inhale of voxels outside the lungs, interpolated from a lattice."""
    spacing = np.abs(np.diag(affine)[:3])
    counts = [max(2, int(np.ceil(size * step / LATTICE_MM)) + 1) for size, step in zip(shape, spacing, strict=True)]
    corner = np.eye(4)
    corner[:3, :3] = np.diag(np.diag(affine)[:3] * (np.array(shape) - 1) / (np.array(counts) - 1))
    corner[:3, 3] = affine[:3, 3]
    lattice = scene.transform.rigid_inverse(*grid_points((counts[0], counts[1], counts[2]), corner))
    old = scene.transform.outside_inverse(*lattice)
    shifts = np.stack([before - now for before, now in zip(old, lattice, strict=True)])
    fine = F.interpolate(torch.from_numpy(shifts)[None].float(), size=shape, mode="trilinear", align_corners=True)[0]
    moved = [point + shift for point, shift in zip(points, fine.numpy(), strict=True)]
    return moved[0], moved[1], moved[2]


def _fill_tube(
    scene: Scene, index: int, points: Triple, hu: Array, mask: NDArray[np.uint8], blur_mm: float, *, exhale: bool
) -> None:
    """Render one lung and the abdomen below it into `hu` and `mask`."""
    motion = scene.transform.motions[index]
    lung = motion.inhale
    a, b = (motion.exhale if exhale else lung).to_chart(*points)
    near = np.broadcast_to(a * a + b * b < NEAR, hu.shape)
    chosen = [np.broadcast_to(point, hu.shape)[near] for point in points]
    if exhale:
        a, b, z, jacobian = motion.inverse(chosen[0], chosen[1], chosen[2])
        x, y = lung.from_chart(a, b, z)
    else:
        x, y, z = chosen
        a, b = a[near], np.broadcast_to(b, hu.shape)[near]
        jacobian = np.ones_like(x)
    values = hu[near]
    wall = tissue.soft_step((1.0 - np.sqrt(a * a + b * b)) * 60.0, blur_mm)
    below = tissue.soft_step(lung.diaphragm_mm(a, b) - z, blur_mm) * wall
    values += (tissue.abdomen_hu(lung, x, y, z, blur_mm) - values) * below
    depth = lung.inside_depth_mm(a, b, z)
    density = scene.parenchyma.density_at(index, x, y, z, blur_mm) / np.maximum(jacobian, 0.2)
    values += (density - 1000.0 - values) * tissue.soft_step(depth, blur_mm)
    hu[near] = values
    mask[near] |= (depth > 0).astype(np.uint8)


def _moved(scene: Scene, tubes: Tubes) -> Tubes:
    """Tubes at exhale in the moving world; in the lungs radii are scaled by the cube root of the Jacobian."""
    pieces = tubes.split(PIECE_MM)
    middle = 0.5 * (pieces.start_mm + pieces.end_mm)
    radius = pieces.radius_mm.copy()
    owner = scene.transform.tube_of(*middle.T)
    for index, motion in enumerate(scene.transform.motions):
        inside = owner == index
        jacobian = motion.inverse(*motion.forward(*middle[inside].T))[3]
        radius[inside] *= np.cbrt(jacobian)
    start, end = (np.stack(scene.transform.forward(*side.T), axis=1) for side in (pieces.start_mm, pieces.end_mm))
    torn = np.linalg.norm(end - start, axis=1) > 2.0 * PIECE_MM  # a piece across the sliding pleura
    return Tubes(start[~torn], end[~torn], radius[~torn])


def _draw_structures(scene: Scene, hu: Array, affine: Array, *, exhale: bool) -> None:
    shape = hu.shape

    def fill(tubes: Tubes, widen: float = 1.0, add_mm: float = 0.0) -> Array:
        placed = _moved(scene, tubes) if exhale else tubes.split(PIECE_MM)
        wide = Tubes(placed.start_mm, placed.end_mm, widen * placed.radius_mm + add_mm)
        return draw_tubes(wide, shape, affine)

    parts = scene.structures
    for value_hu, cover in (
        (tissue.BLOOD_HU, fill(parts.vessels)),
        (tissue.WALL_HU, fill(parts.airways, 1.12, 0.5)),
        (AIR_HU, fill(parts.airways)),
        (tissue.CORTEX_HU, fill(parts.bones)),
        (tissue.MARROW_HU, fill(parts.bones, 1.0, -2.0)),
    ):
        hu += (value_hu - hu) * cover
