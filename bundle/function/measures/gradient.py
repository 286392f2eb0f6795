"""The gradient of a transform within the lungs: differences that do not cross the pleura, along which lungs slide."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from bundle.geometry import WorldTransform, apply_affine
from bundle.lung.morphology import box_of
from bundle.resample import sample_on_grid

ACROSS = 1e-4  # weight of differences across the pleura: they count only where there are no others


@dataclass(frozen=True)
class LungGradient:
    """dT/dx on the part of the field's grid that holds the lungs.

    Args:
        matrices: (3, 3, h, w, d), entry a, b is dT_a / dx_b, RAS mm.
        weights: (h, w, d), 1 where all differences lie within the lungs, else `ACROSS`.
        affine: (4, 4), voxels of this grid to the fixed world, RAS mm.
    """

    matrices: Tensor
    weights: Tensor
    affine: Tensor

    @property
    def determinant(self) -> Tensor:
        """Volume of the moving scan per volume of the fixed one (h, w, d)."""
        a, b, c = self.matrices
        return (a * torch.linalg.cross(b, c, dim=0)).sum(dim=0)

    def on_grid(self, values: Tensor, shape: tuple[int, ...], affine: Tensor) -> Iterator[NDArray[np.float32]]:
        """Values (C, h, w, d) on another grid of the fixed world: linear interpolation by the weights.

        Yields: a volume (H, W, D) for each channel.
        """
        to_own = torch.linalg.inv(self.affine.double()) @ affine.double()
        weights = _sampled(self.weights, to_own, shape)
        for channel in values:
            sampled = _sampled(channel * self.weights, to_own, shape)
            sampled /= weights
            yield sampled


def _sampled(values: Tensor, to_own: Tensor, shape: tuple[int, ...]) -> NDArray[np.float32]:
    volume = np.empty(shape, np.float32)
    for rows, part in sample_on_grid(values[None], to_own, shape):
        volume[rows] = part[0].numpy()
    return volume


def lung_gradient(transform: WorldTransform, inside: NDArray[np.bool_], affine: Tensor) -> LungGradient:
    """Differentiate a transform on the grid of its field.

    Central differences; next to the pleura one-sided ones, on the side of the lung. The field that the chest wall
    follows would enter the lungs otherwise: a shear as steep as the sliding, over two voxels of the field.

    Args:
        transform: fixed to moving world; its ddf continues beyond its grid by its border values.
        inside: (H, W, D), lungs, on the grid of `affine` (4, 4) in the fixed world.
    """
    ddf = F.pad(transform.ddf_vox, [1] * 6, mode="replicate")[0]
    grid = transform.grid_to_fixed.double().clone()
    grid[:3, 3] = apply_affine(grid, -torch.ones(1, 3, dtype=torch.float64))[0]
    lungs = _on_nodes(inside, affine, grid, ddf.shape[1:])
    box = box_of(lungs.numpy(), 2) if lungs.any() else (slice(0, None),) * 3  # lungs smaller than the field's voxels
    low = torch.tensor([[side.start for side in box]], dtype=torch.float64)
    grid[:3, 3] = apply_affine(grid, low)[0]
    lungs, ddf = lungs[box], ddf[(slice(None), *box)].clone()  # the padded field is freed
    start = torch.linalg.inv(transform.grid_to_fixed.double())[:3, :3].to(ddf)
    end = transform.grid_to_moving[:3, :3].to(ddf)
    matrices = (end @ start)[..., None, None, None].repeat(1, 1, *ddf.shape[1:])
    is_within = lungs.clone()
    for component in range(3):  # one at a time, for the memory
        for axis, (difference, has_any) in enumerate(_differences(ddf[component : component + 1], lungs)):
            factors = torch.outer(end[:, component], start[axis])
            for row, column in factors.nonzero().tolist():
                matrices[row, column].add_(difference[0], alpha=float(factors[row, column]))
            is_within &= has_any
    return LungGradient(matrices, torch.where(is_within, 1.0, ACROSS), grid)


def _on_nodes(inside: NDArray[np.bool_], affine: Tensor, grid: Tensor, shape: torch.Size) -> Tensor:
    """Which nodes (h, w, d) of a grid lie within a mask on another grid, which ends at its border."""
    padded = F.pad(torch.from_numpy(inside)[None].float(), [1] * 6)
    to_padded = torch.linalg.inv(affine.double()) @ grid
    to_padded[:3, 3] += 1.0
    nodes = torch.empty(shape, dtype=torch.bool)
    for rows, part in sample_on_grid(padded, to_padded, shape):
        nodes[rows] = part[0] > 0.5
    return nodes


def _differences(ddf: Tensor, lungs: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
    """Differences (C, h, w, d) along each axis, from the neighbours within the lungs, and where there is one."""
    for axis in range(3):
        step = torch.diff(ddf, dim=axis + 1)
        both = torch.narrow(lungs, axis, 1, lungs.shape[axis] - 1) & torch.narrow(lungs, axis, 0, lungs.shape[axis] - 1)
        ends = [0] * 6
        ahead, behind = ends.copy(), ends.copy()
        ahead[5 - 2 * axis], behind[4 - 2 * axis] = 1, 1  # the difference to the next node, and to the one before
        steps = [F.pad(step, padding) for padding in (ahead, behind)]
        weights = [F.pad(both.float(), padding) for padding in (ahead, behind)]
        total = weights[0] + weights[1]
        within = (steps[0] * weights[0] + steps[1] * weights[1]) / total.clamp_min(1.0)
        (across,) = torch.gradient(ddf, dim=axis + 1)
        yield torch.where(total > 0, within, across), total > 0
