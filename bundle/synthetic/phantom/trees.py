"""Tubes of the phantom: vessel and airway trees of the lungs, great vessels, trachea and ribs.

A tree grows by recursive bisection: the tissue points supplied by a branch are split along their longest extent, and a
child branch points to the centre of each half, down to single points (after Tawhai et al. 2000, Ann. Biomed. Eng.
28(7)). Radii follow Murray's law. All coordinates are in mm of the patient frame at inhale.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bundle.synthetic.phantom.anatomy import Anatomy, Array, LungShape

TIP_RADIUS_MM = 0.5
LEAST_RADIUS_MM = 0.8
POINT_VOLUME_MM3 = 600.0  # tissue per tip: tips of a tree are 8 mm apart, branches of the two trees about 4 mm
AIRWAY_RADIUS_MM = 1.5  # smallest airway drawn
VEIN_MM = np.array([0.0, 6.0, -14.0])  # offset of the vein's root from the artery's
STEP_FRACTION = 0.42  # branch length as a fraction of the distance to the centre of its tissue


@dataclass(frozen=True)
class Tubes:
    """Straight tube segments: `start_mm`, `end_mm` (N, 3) and `radius_mm` (N,)."""

    start_mm: NDArray[np.float64]
    end_mm: NDArray[np.float64]
    radius_mm: NDArray[np.float64]

    @classmethod
    def along(cls, line_mm: NDArray[np.float64], radius_mm: float) -> Tubes:
        """Tube around a polyline (N + 1, 3)."""
        return cls(line_mm[:-1], line_mm[1:], np.full(len(line_mm) - 1, radius_mm))

    @classmethod
    def joined(cls, parts: list[Tubes]) -> Tubes:
        return cls(
            np.concatenate([part.start_mm for part in parts]),
            np.concatenate([part.end_mm for part in parts]),
            np.concatenate([part.radius_mm for part in parts]),
        )

    def split(self, length_mm: float) -> Tubes:
        """Split the tubes into segments of at most `length_mm`, so that a nonlinear map can bend them."""
        lengths = np.linalg.norm(self.end_mm - self.start_mm, axis=1)
        counts = np.maximum(1, np.ceil(lengths / length_mm).astype(int))
        index = np.repeat(np.arange(len(counts)), counts)
        first = np.arange(len(index)) - np.repeat(np.cumsum(counts) - counts, counts)
        vector = (self.end_mm - self.start_mm)[index]
        begin, end = first / counts[index], (first + 1) / counts[index]
        start = self.start_mm[index]
        return Tubes(start + begin[:, None] * vector, start + end[:, None] * vector, self.radius_mm[index])


@dataclass(frozen=True)
class Tree:
    """Branches of a tree, parents before children.

    Args:
        tubes: one segment per branch.
        parent: (N,) row of the parent branch, -1 at the root.
        tips: (N,) number of tips below the branch.
    """

    tubes: Tubes
    parent: Array
    tips: Array

    @property
    def forks_mm(self) -> NDArray[np.float64]:
        """(M, 3) bifurcation points."""
        children = np.bincount(self.parent[self.parent >= 0], minlength=len(self.parent))
        return self.tubes.end_mm[children == 2]


@dataclass(frozen=True)
class Structures:
    """All tubes of a phantom by material, and the bifurcations of arteries and veins."""

    vessels: Tubes
    airways: Tubes
    bones: Tubes
    forks_mm: NDArray[np.float64]


def grow_tree(rng: np.random.Generator, root_mm: Array, points_mm: Array) -> Tree:
    """Grow a binary tree from `root_mm` (3,) to all `points_mm` (N, 3)."""
    start, end, parents, tips = [], [], [], []
    waiting = [(-1, root_mm, points_mm)]
    while waiting:
        parent, origin, points = waiting.pop()
        count = len(points)
        middle = points.sum(axis=0) / count
        target = middle if count == 1 else origin + STEP_FRACTION * (middle - origin)
        start.append(origin)
        end.append(target)
        parents.append(parent)
        tips.append(count)
        if count == 1:
            continue
        centred = points - middle
        axis = centred[np.argmax((centred * centred).sum(axis=1))]
        order = np.argsort(centred @ axis)
        cut = min(max(1, round(count * rng.uniform(0.35, 0.65))), count - 1)
        row = len(parents) - 1
        waiting += [(row, target, points[order[:cut]]), (row, target, points[order[cut:]])]
    tip_counts = np.array(tips)
    radius = np.maximum(LEAST_RADIUS_MM, TIP_RADIUS_MM * np.cbrt(tip_counts))
    return Tree(Tubes(np.array(start), np.array(end), radius), np.array(parents), tip_counts)


def sample_lung(rng: np.random.Generator, lung: LungShape, depth_mm: float) -> Array:
    """Random points (N, 3) at least `depth_mm` below the pleura, one per `POINT_VOLUME_MM3` on average."""
    low, high = lung.base_mm - 60.0, lung.apex_mm
    tries = int(4.6 * lung.half_width_mm * lung.depth_mm * (high - low) / POINT_VOLUME_MM3)
    x = lung.side * (lung.medial_mm + lung.half_width_mm * rng.uniform(-0.1, 2.2, tries))
    y = lung.centre_y_mm - 15.0 + lung.depth_mm * rng.uniform(-1.2, 1.2, tries)
    z = rng.uniform(low, high, tries)
    a, b = lung.to_chart(x, y, z)
    inside = lung.inside_depth_mm(a, b, z) > depth_mm
    return np.stack([x, y, z], axis=1)[inside]


def _airway(tree: Tree, lung: LungShape, carina_mm: Array) -> list[Tubes]:
    """Airways along the larger arteries, and the main bronchus."""
    radius = 0.85 * TIP_RADIUS_MM * np.cbrt(tree.tips)
    offset = np.array([-0.6 * lung.side, -0.8, 0.2])
    kept = radius >= AIRWAY_RADIUS_MM
    before = np.where(tree.parent >= 0, radius[tree.parent], radius[0])
    start = tree.tubes.start_mm + 2.0 * before[:, None] * offset
    end = tree.tubes.end_mm + 2.0 * radius[:, None] * offset
    main = Tubes.along(np.stack([carina_mm, 0.5 * (carina_mm + start[0]) + [0.0, 0.0, -2.0], start[0]]), 6.0)
    return [main, Tubes(start[kept], end[kept], radius[kept])]


def _great_vessels(anatomy: Anatomy, hila_mm: list[Array]) -> list[Tubes]:
    carina, (hx, hy, hz) = np.array(anatomy.carina_mm), anatomy.heart_mm
    spine = anatomy.spine_y_mm
    arch = [
        (hx + 12, hy - 8, hz + 25),
        (8, hy - 4, carina[2] + 5),
        (2, hy - 14, carina[2] + 28),
        (-10, carina[1] - 2, carina[2] + 34),
        (-18, spine + 24, carina[2] + 24),
        (-20, spine + 16, carina[2]),
        (-17, spine + 14, hz - 110),
    ]
    cava = [(16, hy - 14, hz + 20), (19, hy - 12, carina[2] + 20), (17, hy - 10, carina[2] + 110)]
    trunk = np.array([hx + 8, hy - 6, hz + 40])
    parts = [Tubes.along(np.array(arch, float), 12.0), Tubes.along(np.array(cava, float), 8.5)]
    for hilum in hila_mm:
        parts.append(Tubes.along(np.stack([trunk, 0.5 * (trunk + hilum) + [0.0, -5.0, 0.0], hilum]), 7.5))
        atrium = np.array([hx + 8, hy - 28, hz + 22])
        parts.append(Tubes.along(np.stack([atrium, hilum + VEIN_MM]), 6.0))
    return parts


def _ribs(lung: LungShape, body_top_mm: float) -> Tubes:
    """Ribs around one lung at 1.15 tube radii, descending from the spine to the front."""
    angle = np.linspace(-0.72 * np.pi, 0.36 * np.pi, 22)  # from back to front along the side
    a, b = 1.15 * np.cos(angle), 1.15 * np.sin(angle)
    progress = np.linspace(0.0, 1.0, len(angle))
    lines = []
    for top in np.arange(lung.base_mm - 70.0, body_top_mm, 25.0):
        z = top - 62.0 * progress**1.2
        x, y = lung.from_chart(a, b, z)
        lines.append(Tubes.along(np.stack([x, y, z], axis=1), 5.0))
    return Tubes.joined(lines)


def grow_structures(rng: np.random.Generator, anatomy: Anatomy) -> Structures:
    """Grow all tubes of a patient: artery, airways and vein of each lung, great vessels, trachea, ribs."""
    vessels, bones, forks, hila = [], [], [], []
    carina = np.array(anatomy.carina_mm)
    airways = [Tubes.along(carina + np.array([[0, 0, 0], [0, 1, 60], [0, 4, 140]]), 8.5)]
    for lung in anatomy.lungs:
        z = carina[2] - 26.0
        x, y = lung.from_chart(np.array(-0.72), np.array(-0.1), np.array(z))
        hilum = np.array([float(x), float(y), z])
        hila.append(hilum)
        artery = grow_tree(rng, hilum, sample_lung(rng, lung, 2.0))
        vein = grow_tree(rng, hilum + VEIN_MM, sample_lung(rng, lung, 2.0))
        vessels += [artery.tubes, vein.tubes]
        forks += [artery.forks_mm, vein.forks_mm]
        airways += _airway(artery, lung, carina)
        bones.append(_ribs(lung, lung.apex_mm + 60.0))
    return Structures(
        vessels=Tubes.joined(vessels + _great_vessels(anatomy, hila)),
        airways=Tubes.joined(airways),
        bones=Tubes.joined(bones),
        forks_mm=np.concatenate(forks),
    )
