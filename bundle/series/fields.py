"""The transforms of a series: read again, sampled together, and averaged."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import torch
from torch import Tensor

from bundle.geometry import WorldTransform, apply_affine, slabs, warp


def identity_like(transform: WorldTransform) -> WorldTransform:
    """The transform of the reference itself, on the grid of another member's."""
    return WorldTransform(torch.zeros_like(transform.ddf_vox), transform.grid_to_fixed, transform.grid_to_fixed)


def displacement_slabs(
    transforms: Mapping[str, WorldTransform], shape: Sequence[int], affine: Tensor
) -> Iterator[tuple[slice, Tensor]]:
    """Displacements T(x) - x of all members at once on a grid of the reference's world, slab by slab.

    Yields: rows and displacements (M, 3, h, W, D), RAS mm.
    """
    for start, stop in slabs(shape):
        corner = affine.double().clone()
        corner[:3, 3] = apply_affine(affine.double(), torch.tensor([[start, 0.0, 0.0]], dtype=torch.float64))[0]
        part = (stop - start, shape[1], shape[2])
        yield slice(start, stop), torch.stack([one.displacement_mm(part, corner) for one in transforms.values()])


def mean_transform(transforms: Sequence[WorldTransform]) -> WorldTransform:
    """The mean position: x -> mean of T_i(x), exactly, also outside the grids, which must be one and the same.

    Raises: ValueError if the grids of the fields differ.
    """
    first = transforms[0]
    _check_grids(transforms)
    start = first.grid_to_fixed.double()
    end = torch.stack([one.grid_to_moving.double() for one in transforms]).mean(dim=0)
    to_mean = torch.linalg.inv(end[:3, :3])
    ddf_vox = torch.zeros_like(first.ddf_vox)
    for one in transforms:  # mean of A_i (q + d_i(q)) as A (q + d(q)) with the mean A of the A_i
        share = (to_mean @ one.grid_to_moving[:3, :3].double() / len(transforms)).to(ddf_vox)
        ddf_vox += torch.einsum("ab,nbhwd->nahwd", share, one.ddf_vox)
    return WorldTransform(ddf_vox, start, end)


def after(transform: WorldTransform, inverse_mean: WorldTransform) -> WorldTransform:
    """T(M^-1(p)): mean position to the member, on the grid that both fields share."""
    _check_grids([transform, WorldTransform(inverse_mean.ddf_vox, inverse_mean.grid_to_moving, torch.eye(4))])
    ddf_vox = inverse_mean.ddf_vox + warp(transform.ddf_vox, inverse_mean.ddf_vox)
    return WorldTransform(ddf_vox, inverse_mean.grid_to_fixed, transform.grid_to_moving)


def _check_grids(transforms: Sequence[WorldTransform]) -> None:
    first = transforms[0]
    for other in transforms[1:]:
        same = other.ddf_vox.shape == first.ddf_vox.shape
        if not same or not torch.allclose(other.grid_to_fixed.double(), first.grid_to_fixed.double(), atol=1e-3):
            raise ValueError(
                f"expected fields on one grid, found {tuple(first.ddf_vox.shape[2:])} and "
                f"{tuple(other.ddf_vox.shape[2:])} voxels: register the whole series again with --overwrite true"
            )
