"""Put both scans of a pair on the grid the network works on."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import Any

import torch
from monai.data import MetaTensor
from monai.transforms import Orientation, Transform
from torch import Tensor

from bundle.geometry import affine_columns, identity_vox, sample_vox, spacing_mm
from bundle.transforms.coarsen import coarsen


def lung_grid_affine(mask: MetaTensor, spatial_size: tuple[int, int, int], margin_mm: float) -> Tensor:
    """Affine (4, 4) float64 of a grid of `spatial_size` voxels that spans the mask and a margin around it.

    The axes are those of the mask's own grid in RAS order, so the grid follows an oblique scan and does not depend on
    how its voxels are stored; each axis has its own spacing, as where a crop is resized.

    Args:
        mask: (1, H, W, D), non-empty.
    """
    canonical = Orientation(axcodes="RAS", labels=None)(mask)
    voxels = canonical[0].as_tensor().nonzero()
    margin_vox = margin_mm / spacing_mm(canonical.affine.double())
    low = voxels.amin(dim=0) - 0.5 - margin_vox
    size = (voxels.amax(dim=0) + 0.5 + margin_vox - low) / torch.tensor(spatial_size, dtype=torch.float64)
    to_canonical = torch.eye(4, dtype=torch.float64)
    to_canonical[:3, :3] = torch.diag(size)
    to_canonical[:3, 3] = low + size / 2
    return canonical.affine.double() @ to_canonical


def put_on_grid(volume: MetaTensor, spatial_size: tuple[int, int, int], affine: Tensor) -> MetaTensor:
    """Read a volume (C, H, W, D) on another grid: averaged where that grid is coarser, trilinear, border value outside.

    Args:
        affine: (4, 4) from the new grid's voxels to the world of `volume`.
    """
    canonical_axes = Orientation(axcodes="RAS", labels=None)(volume)
    directions = canonical_axes.affine[:3, :3].double() / spacing_mm(canonical_axes.affine.double())
    reach_mm = (directions.T @ affine[:3, :3]).abs().amax(dim=1)  # of one new voxel along each axis of the volume
    coarse = coarsen(volume, tuple(reach_mm.tolist()))
    to_coarse = torch.linalg.inv(coarse.affine.double()) @ affine
    grid = identity_vox(list(spatial_size), coarse)[0].flatten(1)
    points = affine_columns(to_coarse, grid).view(1, 3, *spatial_size)
    return MetaTensor(sample_vox(coarse.as_tensor()[None], points)[0], affine=affine)


class NetworkGridd(Transform):
    """Add `fixed_net`, `moving_net` and `mask_net` (1, *spatial_size), and the grid's two affines.

    The grid spans the fixed lungs with a margin; moving is read through `initial_affine` from its full field of view.
    `fixed_affine` and `moving_affine` (4, 4) map the grid's voxels to the fixed and the moving world (RAS mm);
    `mask_net` is the fixed lung mask with soft edges. `moving_scan_affine` (4, 4) of the moving scan as acquired stays
    when the scan itself is dropped: snapped TRE needs it.

    Args:
        spatial_size: sides of the network grid, multiples of 16.
        margin_mm: room around the lungs on every side.
    Raises: ValueError if the fixed mask of a pair is empty.
    """

    def __init__(self, *, spatial_size: tuple[int, int, int], margin_mm: float = 15.0) -> None:
        height, width, depth = spatial_size  # JSON gives a list
        self.spatial_size = (height, width, depth)
        self.margin_mm = margin_mm

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        pair = dict(data)
        if not pair["fixed_mask"].any():
            raise ValueError(f"{pair.get('name', 'pair')}: the fixed mask holds no voxel above 0")
        fixed_affine = lung_grid_affine(pair["fixed_mask"], self.spatial_size, self.margin_mm)
        pair["fixed_affine"] = fixed_affine
        pair["moving_affine"] = pair["initial_affine"].double() @ fixed_affine
        pair["moving_scan_affine"] = pair["moving"].affine
        pair["fixed_net"] = put_on_grid(pair["fixed"], self.spatial_size, fixed_affine)
        pair["moving_net"] = put_on_grid(pair["moving"], self.spatial_size, pair["moving_affine"])
        pair["mask_net"] = put_on_grid(pair["fixed_mask"], self.spatial_size, fixed_affine)
        return pair
