"""Geometry of a phantom thorax at inhale, in closed form, so that any grid is rendered without interpolation.

Patient frame: RAS mm, origin in the mediastinum. Each lung lies in a tube along z: the chart (a, b, z) maps the unit
disc a² + b² < 1 at every height to the tube's cross-section (a: medial to lateral, b: back to front). The lung is the
part of the tube between the diaphragm z_d(a, b) and the cap z_t(a, b); the part below is abdomen. The chart and its
inverse are closed formulas; its Jacobian is half(b, z) * depth(z).
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.floating]
Triple = tuple[Array, Array, Array]


@dataclass(frozen=True)
class LungShape:
    """One lung and its tube; all lengths in mm.

    Args:
        side: +1 right, -1 left (RAS x).
        medial_mm, half_width_mm, depth_mm: position of the medial wall, semi-axes of the cross-section.
        bend: bending of the front and back edges towards the midline, in half widths.
        centre_y_mm: centre of the cross-section, back to front.
        apex_mm, base_mm: heights of the top of the cap and of the diaphragm's rim.
        dome_mm, tilt_mm, cap_mm: height of the diaphragm's dome, its drop towards the back, height of the cap.
        notch_mm, notch_b, notch_z_mm: depth and position of the cardiac notch in the medial wall.
    """

    side: int
    medial_mm: float
    half_width_mm: float
    depth_mm: float
    bend: float
    centre_y_mm: float
    apex_mm: float
    base_mm: float
    dome_mm: float
    tilt_mm: float
    cap_mm: float
    notch_mm: float
    notch_b: float
    notch_z_mm: float

    def contracted(self, width: float, depth: float, heart_mm: float) -> LungShape:
        """The tube at exhale: width and depth scaled by these factors, notch raised by `heart_mm`.

        The medial wall is fixed; the front moves three times as far as the back.
        """
        return replace(
            self,
            half_width_mm=self.half_width_mm * width,
            depth_mm=self.depth_mm * depth,
            centre_y_mm=self.centre_y_mm - 0.5 * self.depth_mm * (1.0 - depth),
            notch_z_mm=self.notch_z_mm + heart_mm,
        )

    def sections(self, z: Array) -> Triple:
        """Relative size, AP centre (mm) and AP semi-axis (mm) of the cross-section at each height."""
        t = np.clip((z - self.base_mm) / (self.apex_mm - self.base_mm), 0.0, 1.3)
        size = 1.0 - 0.42 * t**2 * np.sqrt(t)
        return size, self.centre_y_mm - 12.0 * t * t, self.depth_mm * size

    def _walls(self, b: Array, z: Array, size: Array) -> tuple[Array, Array]:
        edge = np.clip(b, -1.5, 1.5)
        push = np.exp(-(((z - self.notch_z_mm) / 48.0) ** 2)) * (0.5 * self.notch_mm)
        notch = push * np.exp(-(((b - self.notch_b) / 0.55) ** 2))
        half = self.half_width_mm * size
        return self.medial_mm + half * (1.0 - self.bend * edge * edge) + notch, half - notch

    def to_chart(self, x: Array, y: Array, z: Array) -> tuple[Array, Array]:
        """Map patient-frame points to (a, b)."""
        size, centre, depth = self.sections(z)
        b = (y - centre) / depth
        middle, half = self._walls(b, z, size)
        return (self.side * x - middle) / half, b

    def from_chart(self, a: Array, b: Array, z: Array) -> tuple[Array, Array]:
        """Map chart points to (x, y): the inverse of `to_chart` at the same height."""
        size, centre, depth = self.sections(z)
        middle, half = self._walls(b, z, size)
        return self.side * (middle + half * a), centre + depth * b

    def volume_element(self, b: Array, z: Array) -> Array:
        """|d(x, y, z) / d(a, b, z)|, mm²."""
        size, _, depth = self.sections(z)
        return self._walls(b, z, size)[1] * depth

    def top_mm(self, a: Array, b: Array) -> Array:
        """Height of the cap above each point of the disc."""
        rest = np.clip(1.0 - 0.93 * (a * a + b * b), 0.05, None)
        return self.apex_mm - self.cap_mm * (1.0 - np.sqrt(rest))

    def diaphragm_mm(self, a: Array, b: Array) -> Array:
        """Height of the diaphragm below each point of the disc: a dome, lowest at the back."""
        edge = np.clip(b, -1.2, 1.2)
        centred = (a + 0.15) ** 2 + (edge - 0.1) ** 2
        return self.base_mm + self.dome_mm * (1.0 - np.minimum(centred, 1.6)) + self.tilt_mm * edge

    def inside_depth_mm(self, a: Array, b: Array, z: Array) -> Array:
        """Approximate signed distance to the pleura, positive inside the lung; the sign is exact."""
        size, _, depth = self.sections(z)
        half = self._walls(b, z, size)[1]
        squared = a * a + b * b
        slope = (squared + 1e-6) / ((a / half) ** 2 + (b / depth) ** 2 + 1e-6 / (half * depth))
        wall = (1.0 - np.sqrt(squared)) * np.sqrt(slope)
        rim = np.minimum(z - self.diaphragm_mm(a, b), self.top_mm(a, b) - z)
        return np.minimum(wall, 0.85 * rim)

    def cloud(self) -> Triple:
        """Points distributed over the lung and its surface: x, y, z (N,) in mm."""
        radius, angle, s = np.meshgrid(
            np.sqrt(np.linspace(0, 1, 8)), np.linspace(0, 2 * np.pi, 48), np.linspace(0, 1, 24), indexing="ij"
        )
        a, b = (radius * np.cos(angle)).ravel(), (radius * np.sin(angle)).ravel()
        top = self.top_mm(a, b)
        z = top - s.ravel() * (top - self.diaphragm_mm(a, b))
        return (*self.from_chart(a, b, z), z)


@dataclass(frozen=True)
class Anatomy:
    """The thorax without its trees: lungs and positions of the other organs (mm, patient frame)."""

    right: LungShape
    left: LungShape
    body_mm: tuple[float, float]  # semi-axes, left-right and front-back
    fat_mm: float
    spine_y_mm: float
    heart_mm: tuple[float, float, float]
    heart_size_mm: tuple[float, float, float]
    carina_mm: tuple[float, float, float]

    @property
    def lungs(self) -> tuple[LungShape, LungShape]:
        return self.right, self.left


def draw_anatomy(rng: np.random.Generator, *, body_scale: float = 1.0) -> Anatomy:
    """Draw a patient from the range of adults with COPD (hyperinflation: flat diaphragm, deep chest).

    Args:
        rng: source of randomness.
        body_scale: size relative to an adult with about 4 litres of lung volume at inhale.
    """

    def vary(value_mm: float, spread: float = 0.06) -> float:
        return float(value_mm * body_scale * (1.0 + spread * rng.uniform(-1, 1)))

    depth, width, apex, base = vary(92), vary(57, 0.05), vary(122, 0.04), vary(-88, 0.05)
    medial, heart_z = vary(25), vary(-42, 0.1)
    right = LungShape(
        side=1,
        medial_mm=medial,
        half_width_mm=width,
        depth_mm=depth,
        bend=float(rng.uniform(0.45, 0.6)),
        centre_y_mm=vary(-4),
        apex_mm=apex,
        base_mm=base + vary(6),
        dome_mm=vary(34, 0.25),
        tilt_mm=vary(19, 0.3),
        cap_mm=vary(58, 0.15),
        notch_mm=vary(14, 0.3),
        notch_b=0.2,
        notch_z_mm=heart_z,
    )
    left = replace(
        right,
        side=-1,
        half_width_mm=width * float(rng.uniform(0.93, 0.98)),
        depth_mm=depth * float(rng.uniform(0.96, 1.0)),
        bend=float(rng.uniform(0.45, 0.6)),
        apex_mm=apex + vary(-3, 0.8),
        base_mm=base,
        dome_mm=vary(27, 0.25),
        notch_mm=vary(46, 0.15),
        notch_b=float(rng.uniform(0.28, 0.42)),
    )
    return Anatomy(
        right=right,
        left=left,
        body_mm=(medial + 2 * width + vary(40), depth + vary(36)),
        fat_mm=vary(15, 0.4),
        spine_y_mm=-0.66 * depth,
        heart_mm=(-vary(20), vary(20), heart_z),
        heart_size_mm=(vary(64), vary(46), vary(54)),
        carina_mm=(0.0, vary(-20), vary(30, 0.2)),
    )
