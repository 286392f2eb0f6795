"""Diffeomorphic flows: stationary velocities on a lattice, integrated to maps with their inverses.

Points are in mm in the patient frame (`bundle.synthetic.breath.breathing`).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from bundle.geometry import identity_vox, sample_vox

SQUARINGS = 5  # scaling and squaring with 2**5 steps
INVERSE_STEPS = 25  # at most; stops when no node moves by more than INVERSE_MM
INVERSE_MM = 0.002


@dataclass(frozen=True)
class Lattice:
    """Grid of `shape` nodes at `origin_mm + step_mm * index`; `origin_mm` is (3,) float64."""

    origin_mm: Tensor
    step_mm: float
    shape: tuple[int, int, int]

    def affine(self) -> Tensor:
        """(4, 4) float64, nodes to patient mm."""
        matrix = torch.diag(torch.tensor([self.step_mm] * 3 + [1.0], dtype=torch.float64))
        matrix[:3, 3] = self.origin_mm
        return matrix

    def points_mm(self) -> Tensor:
        """Positions of the nodes, (3, H, W, D) float32."""
        origin_mm = self.origin_mm.float().view(3, 1, 1, 1)
        return identity_vox(list(self.shape), origin_mm)[0] * self.step_mm + origin_mm

    def read(self, values: Tensor, points_mm: Tensor) -> Tensor:
        """Interpolate node values (C, H, W, D) trilinearly at points (3, h, w, d), with border padding."""
        vox = (points_mm - self.origin_mm.to(points_mm).view(3, 1, 1, 1)) / self.step_mm
        return sample_vox(values[None], vox[None].float())[0]

    def halved(self) -> Lattice:
        """The lattice with half the spacing."""
        height, width, depth = self.shape
        return Lattice(self.origin_mm, self.step_mm / 2, (2 * height - 1, 2 * width - 1, 2 * depth - 1))


@dataclass(frozen=True)
class Flow:
    """A map of the patient frame and its inverse, as displacements (3, H, W, D) mm on one lattice."""

    lattice: Lattice
    forward_mm: Tensor
    backward_mm: Tensor

    def exhale(self, points_mm: Tensor) -> Tensor:
        """Map points (3, h, w, d) from inhale to exhale."""
        return points_mm + self.lattice.read(self.forward_mm, points_mm)

    def inhale(self, points_mm: Tensor) -> Tensor:
        """Map points (3, h, w, d) from exhale to inhale."""
        return points_mm + self.lattice.read(self.backward_mm, points_mm)


def integrate(velocity: np.ndarray, lattice: Lattice) -> Flow:
    """Exponential of a stationary velocity and its inverse, on a lattice with half the spacing.

    Fixed-point iteration inverts the interpolated map, initialised with the exponential of -velocity; the inverse
    consistency error at the nodes is below `INVERSE_MM`.

    Args:
        velocity: (3, H, W, D) float32, mm per breath, on the nodes of `lattice`.
    Source: scaling and squaring, Arsigny et al. 2006, MICCAI.
    """
    forward_mm, backward_mm = (_exponential(sign * velocity, lattice) for sign in (1.0, -1.0))
    fine, nodes_mm = lattice.halved(), lattice.points_mm()
    forward_mm = _halve_step(forward_mm)
    for _ in range(INVERSE_STEPS):
        step = -fine.read(forward_mm, nodes_mm + backward_mm) - backward_mm
        backward_mm = backward_mm + 0.8 * step
        if step.abs().max() < INVERSE_MM:
            break
    return Flow(fine, forward_mm, _halve_step(backward_mm))


def _exponential(velocity: np.ndarray, lattice: Lattice) -> Tensor:
    """Displacement (3, H, W, D), mm: exponential of a velocity."""
    ddf_vox = torch.from_numpy(velocity)[None] / lattice.step_mm / 2**SQUARINGS
    grid = identity_vox(list(lattice.shape), ddf_vox)
    for _ in range(SQUARINGS):
        ddf_vox = ddf_vox + sample_vox(ddf_vox, grid + ddf_vox)
    return ddf_vox[0] * lattice.step_mm


def _halve_step(values: Tensor) -> Tensor:
    """Interpolate (3, H, W, D) to the halved lattice: cubic between the nodes, linear at the border."""
    for axis in (1, 2, 3):
        nodes = values.movedim(axis, 0)
        between = (nodes[1:] + nodes[:-1]) / 2
        between[1:-1] += (nodes[1:-2] + nodes[2:-1] - nodes[:-3] - nodes[3:]) / 16
        finer = nodes.new_empty((2 * len(nodes) - 1, *nodes.shape[1:]))
        finer[::2], finer[1::2] = nodes, between
        values = finer.movedim(0, axis)
    return values.contiguous()
