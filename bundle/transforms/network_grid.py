"""Resample both scans of a pair on the network grid."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from functools import partial
from typing import Any

import torch
from monai.data import MetaTensor
from monai.transforms import Orientation, Transform, generate_spatial_bounding_box
from nibabel.orientations import io_orientation
from torch import Tensor

from bundle.geometry import apply_affine, spacing_mm
from bundle.io import compact
from bundle.resample import coarsen, sample_on_grid
from bundle.voxel_size import check_voxel_mm

MAX_VOXELS = 3_000_000  # 10 litres at 1.5 mm, more than lungs hold; 1.4 times the time of 6 litres
SIDE_MULTIPLE = 16  # four levels of the pyramid, each at half the resolution of the previous one
SidesVox = tuple[int, int, int]


def cubic_voxel_grid(
    mask: MetaTensor, *, grid_spacing_mm: float, margin_mm: float, max_voxels: int = MAX_VOXELS
) -> tuple[SidesVox, Tensor]:
    """Sides and affine (4, 4) float64 of a grid of cubic voxels that spans the mask and at least a margin around it.

    Its axes are those of the mask's grid in RAS order, so it follows oblique scans and does not depend on the storage
    order of the voxels. Sides are multiples of 16; rounding up widens the margin equally on both sides.

    Args:
        mask: (1, H, W, D), non-empty.
        max_voxels: of the grid inside the mask; `grid_spacing_mm` grows until they are no more.
    """
    low, high, canonical_affine = _box_vox(mask)
    voxel_mm = spacing_mm(canonical_affine)
    volume_mm3 = int(mask.as_tensor().count_nonzero()) * float(voxel_mm.prod())
    grid_spacing_mm = max(grid_spacing_mm, (volume_mm3 / max_voxels) ** (1 / 3))
    step_mm = SIDE_MULTIPLE * grid_spacing_mm
    sides = ((high - low) * voxel_mm + 2 * margin_mm).div(step_mm).ceil().int() * SIDE_MULTIPLE
    to_canonical = torch.eye(4, dtype=torch.float64)
    to_canonical[:3, :3] = torch.diag(grid_spacing_mm / voxel_mm)
    to_canonical[:3, 3] = (low + high - (sides - 1) * grid_spacing_mm / voxel_mm) / 2
    return (int(sides[0]), int(sides[1]), int(sides[2])), canonical_affine @ to_canonical


def resized_grid(mask: MetaTensor, *, spatial_size: SidesVox, margin_mm: float) -> tuple[SidesVox, Tensor]:
    """Sides and affine (4, 4) float64 of a grid of `spatial_size` voxels that spans the mask and a margin around it.

    As `cubic_voxel_grid`, but each axis has its own spacing.
    """
    low, high, canonical_affine = _box_vox(mask)
    margin_vox = margin_mm / spacing_mm(canonical_affine)
    size = (high - low + 2 * margin_vox) / torch.tensor(spatial_size, dtype=torch.float64)
    to_canonical = torch.eye(4, dtype=torch.float64)
    to_canonical[:3, :3] = torch.diag(size)
    to_canonical[:3, 3] = low - margin_vox + size / 2
    return spatial_size, canonical_affine @ to_canonical


def _box_vox(mask: MetaTensor) -> tuple[Tensor, Tensor, Tensor]:
    """Outer faces (3,) of the mask's bounding box, in voxels of its grid in RAS order, and that grid's affine."""
    canonical = Orientation(axcodes="RAS", labels=None)(mask)
    start, stop = generate_spatial_bounding_box(canonical.as_tensor())
    low, high = torch.tensor([start, stop], dtype=torch.float64) - 0.5
    return low, high, canonical.affine.double()


def put_on_grid(volume: MetaTensor, spatial_size: SidesVox, affine: Tensor) -> MetaTensor:
    """Resample a volume (C, H, W, D) on another grid: averaged where it is coarser, trilinear, border values outside.

    Args:
        affine: (4, 4) from the new grid's voxels to the world of `volume`.
    """
    own = volume.affine.double()
    along_own = ((own[:3, :3] / spacing_mm(own)).T @ affine[:3, :3]).abs().amax(dim=1)  # extent of one new voxel, mm
    reach_mm = torch.empty(3, dtype=torch.float64)
    reach_mm[io_orientation(own.numpy())[:, 0].astype(int)] = along_own  # along R, A, S
    to_own = torch.linalg.inv(own) @ affine
    corners_vox = torch.cartesian_prod(*[torch.tensor([0.0, side - 1], dtype=torch.float64) for side in spatial_size])
    ends_vox = torch.stack(torch.aminmax(apply_affine(to_own, corners_vox), dim=0))
    coarse = coarsen(volume, tuple(reach_mm.tolist()), ends_vox)
    to_coarse = torch.linalg.inv(coarse.affine.double()) @ affine
    voxels = coarse.as_tensor()
    sampled = voxels.new_empty((voxels.shape[0], *spatial_size))
    for rows, values in sample_on_grid(voxels, to_coarse, spatial_size):
        sampled[:, rows] = values
    return MetaTensor(sampled, affine=affine)


class NetworkGridd(Transform):
    """Add `fixed_net`, `moving_net` and `mask_net` (1, H, W, D), and the grid's two affines.

    The grid spans the fixed lungs with a margin; moving is resampled with `initial_affine` from its full field of view.
    `grid_to_fixed` and `grid_to_moving` (4, 4) map the grid's voxels to the fixed and the moving world (RAS mm);
    `mask_net` is the fixed lung mask with soft edges. `moving_affine` (4, 4) is the moving scan's own: snapped TRE
    needs it after the scan itself is dropped. The scans themselves become int16 where that changes no voxel.

    Args:
        spacing_mm: size of the grid's cubic voxels; its sides follow from the lungs.
        max_voxels: of the grid inside the fixed mask; the voxels of larger regions, such as whole images, grow.
        spatial_size: the grid's sides instead, multiples of 16: the lungs are resized; overrides `spacing_mm`.
        margin_mm: around the lungs on every side.
    Raises: ValueError if neither of the two is given, for voxels beyond `bundle.voxel_size.LIMITS_MM`, or if the fixed
        mask of a pair is empty.
    """

    def __init__(
        self,
        *,
        spatial_size: Sequence[int] | None = None,
        spacing_mm: float | None = None,
        margin_mm: float = 15.0,
        max_voxels: int = MAX_VOXELS,
    ) -> None:
        self.grid: partial[tuple[SidesVox, Tensor]]
        if spatial_size is not None:
            height, width, depth = spatial_size  # JSON gives a list
            self.grid = partial(resized_grid, spatial_size=(height, width, depth), margin_mm=margin_mm)
        elif spacing_mm is not None:
            check_voxel_mm("spacing_mm", spacing_mm)
            self.grid = partial(
                cubic_voxel_grid, grid_spacing_mm=spacing_mm, margin_mm=margin_mm, max_voxels=max_voxels
            )
        else:
            raise ValueError("expected spatial_size or spacing_mm, got neither")

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        pair = dict(data)
        if not pair["fixed_mask"].any():
            raise ValueError(f"{pair.get('name', 'pair')}: the fixed mask holds no voxel above 0")
        sides, grid_to_fixed = self.grid(pair["fixed_mask"])
        pair["grid_to_fixed"] = grid_to_fixed
        pair["grid_to_moving"] = pair["initial_affine"].double() @ grid_to_fixed
        pair["moving_affine"] = pair["moving"].affine
        pair["fixed_net"] = put_on_grid(pair["fixed"], sides, grid_to_fixed)
        pair["moving_net"] = put_on_grid(pair["moving"], sides, pair["grid_to_moving"])
        pair["mask_net"] = put_on_grid(pair["fixed_mask"], sides, grid_to_fixed)
        pair |= {key: compact(pair[key]) for key in ("fixed", "moving")}
        return pair
