"""Tell the right lung from the left."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from bundle.lung.morphology import Labels, Mask, box_of, erode, grow_in_turns

RIGHT, LEFT = 1, 2
NECKS_MM = (0.0, 3.0, 6.0, 9.0, 12.0)  # half widths of passages between the lungs that are cut
MIN_PART_SHARE = 0.02  # of the lungs' volume; smaller parts follow the others
MAX_OVERLAP = 0.1  # of the narrower part's width, if two parts are two lungs
MIN_DISTANCE_MM = 65.0  # between the middles of an adult's lungs; parts of one lung lie closer
BONE_HU = 130.0
SPINE_MM = 7.0  # ribs are thinner than twice this
WALL_STEP_MM = 6.0
MAX_DEPTH_MM = 100.0  # below the body's surface
MAX_EVIDENCE = 2.0  # of one sign
BULGE_GAIN, MAX_BULGE = 15.0, 3.0  # the chest wall bulges by 0.07 to 0.9 of a lung's width more than the mediastinum
BULGE_MIDDLE = (0.35, 0.65)  # of a lung's depth
BULGE_ENDS = (0.1, 0.2)  # of it, from either end
MIN_DEPTH_VOX = 8


class Scene(NamedTuple):
    """What surrounds the lungs, on one grid (h, w, d) in RAS axis order.

    Args:
        hu: the scan.
        airways: trachea and main bronchi.
        outside: air around the patient and padding.
        spacing: (3,) voxel size, mm.
        scale: size of the chest relative to an adult's.
    """

    hu: NDArray[np.float32]
    airways: Mask
    outside: Mask
    spacing: NDArray
    scale: float


def label_sides(lungs: Mask, scene: Scene) -> Labels:
    """Label map (h, w, d): 1 in the right lung, 2 in the left.

    The lungs are eroded until two parts lie side by side; both then grow back through the lungs.

    Args:
        lungs: non-empty.
    """
    box = box_of(lungs)
    inside = lungs[box]
    result = np.zeros(lungs.shape, np.int32)
    seeds = _seeds(inside, scene.spacing, scene.scale)
    if seeds is None:
        result[lungs] = _side_of_single_lung(lungs, scene)
    else:
        grown = grow_in_turns(seeds, inside)
        rest = inside & (grown == 0)
        if rest.any():  # parts without a seed
            nearest = ndimage.distance_transform_edt(grown == 0, return_distances=False, return_indices=True)
            grown[rest] = grown[tuple(nearest[:, rest])]
        result[box] = grown
    return result


def _seeds(lungs: Mask, spacing: NDArray, scale: float) -> Labels | None:
    """Parts of both lungs, 1 and 2, that are cut off from each other; None for a single lung."""
    for neck_mm in NECKS_MM:
        core = erode(lungs, neck_mm * scale, spacing, outside=True)
        parts, count = ndimage.label(core)
        sizes = np.bincount(parts.ravel(), minlength=count + 1)[1:]
        large = 1 + np.flatnonzero(sizes >= MIN_PART_SHARE * sizes.sum())
        if len(large) < 2:
            continue
        across = _positions(spacing, lungs.shape)
        ranges = np.array([np.percentile(across[parts == part], [5, 50, 95]) for part in large])
        order = np.argsort(ranges[:, 1])
        cut = _gap(ranges[order], scale)
        if cut is None:
            continue
        seeds = np.zeros(lungs.shape, np.int32)
        seeds[np.isin(parts, large[order[:cut]])] = LEFT
        seeds[np.isin(parts, large[order[cut:]])] = RIGHT
        return seeds
    return None


def _gap(ranges: NDArray, scale: float) -> int | None:
    """How many parts, sorted from left to right, belong to the left lung; None if no gap separates them.

    Args:
        ranges: (n, 3) lower end, middle and upper end of each part along the patient's right, mm.
    """
    best, widest = None, -MAX_OVERLAP
    for cut in range(1, len(ranges)):
        left_high, right_low = ranges[:cut, 2].max(), ranges[cut:, 0].min()
        widths = [ranges[:cut, 2].max() - ranges[:cut, 0].min(), ranges[cut:, 2].max() - ranges[cut:, 0].min()]
        distance_mm = ranges[cut:, [0, 2]].mean() - ranges[:cut, [0, 2]].mean()
        gap = (right_low - left_high) / max(min(widths), 1e-6)
        if gap > widest and distance_mm > MIN_DISTANCE_MM * scale:
            best, widest = cut, gap
    return best


def _side_of_single_lung(lung: Mask, scene: Scene) -> int:
    """Side of a lung: airways and spine lie medial to it; its lateral half bulges and is nearer to the body's surface.

    The signs are added: positions relative to the lung's middle in its standard deviations, differences of depth in cm,
    and the bulge.
    """
    across = _positions(scene.spacing, lung.shape)
    middle, width = across[lung].mean(), max(across[lung].std(), 1e-6)
    bottom = slice(int(np.flatnonzero(lung.any(axis=(0, 1)))[0]), int(np.nonzero(lung)[2].mean()) + 1)
    spine = np.zeros_like(lung)  # below the shoulder blades
    spine[..., bottom] = erode(scene.hu[..., bottom] > BONE_HU, SPINE_MM * scene.scale, scene.spacing, outside=True)
    evidence = [
        float(np.clip((middle - across[medial].mean()) / width, -MAX_EVIDENCE, MAX_EVIDENCE))
        for medial in (scene.airways, spine)
        if medial.any()
    ]
    evidence.append(float(np.clip(BULGE_GAIN * _bulge(lung), -MAX_BULGE, MAX_BULGE)))
    if scene.outside.any():
        coarse = tuple(slice(None, None, max(1, round(WALL_STEP_MM * scene.scale / step))) for step in scene.spacing)
        step_mm = scene.spacing / scene.scale * [side.step for side in coarse]
        depth_mm = ndimage.distance_transform_edt(~scene.outside[coarse], step_mm).clip(max=MAX_DEPTH_MM)
        inside, is_right = lung[coarse], across[coarse] > middle
        if (inside & is_right).any() and (inside & ~is_right).any():
            depth_cm = (depth_mm[inside & ~is_right].mean() - depth_mm[inside & is_right].mean()) / 10
            evidence.append(float(np.clip(depth_cm, -MAX_EVIDENCE, MAX_EVIDENCE)))
    return RIGHT if sum(evidence) >= 0 else LEFT


def _bulge(lung: Mask) -> float:
    """How much more a lung bulges to the patient's right than to the left in axial slices, over its width.

    A border bulges by its position in the middle of the lung's depth less that near both ends.
    """
    box = lung[box_of(lung, 0)]
    rows = np.arange(box.shape[0])[:, None, None]
    right = np.where(box, rows, -1).max(axis=0)
    left = np.where(box, rows, box.shape[0]).min(axis=0)
    total, weight = 0.0, 1e-6
    for slice_right, slice_left in zip(right.T, left.T, strict=True):
        depth = np.flatnonzero(slice_right >= 0)
        if len(depth) < MIN_DEPTH_VOX:
            continue
        share = np.linspace(0, 1, len(depth))
        middle = depth[(share > BULGE_MIDDLE[0]) & (share < BULGE_MIDDLE[1])]
        from_end = np.minimum(share, 1 - share)
        ends = depth[(from_end >= BULGE_ENDS[0]) & (from_end <= BULGE_ENDS[1])]
        widths = slice_right[depth] - slice_left[depth] + 1
        bulges = (
            slice_right[middle].mean() - slice_right[ends].mean() + slice_left[middle].mean() - slice_left[ends].mean()
        )
        total += bulges / widths.mean() * widths.sum()
        weight += widths.sum()
    return float(total / weight)


def _positions(spacing: NDArray, shape: tuple[int, ...]) -> NDArray:
    """Position along the grid's first axis of every voxel (h, w, d), mm; a turned header does not change it."""
    return np.broadcast_to(np.arange(shape[0])[:, None, None] * spacing[0], shape)
