"""Results of a registration: on the network grid, and on the grids of the two scans."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from monai.data import MetaTensor
from monai.transforms import Transform
from torch import Tensor

from bundle.geometry import WorldTransform, invert_ddf, jacobian_determinant, sample_rows, slabs_of_points
from bundle.io.images import as_stored
from bundle.processors import side_by_side
from bundle.resample import AIR_HU, sample_on_grid, warp_volume
from bundle.transforms.world_transform import world_transform


class ResultsOnNetworkGridd(Transform):
    """Add `warped_net` (1, H, W, D), the network's moving image warped with its ddf, and the ddf's `jacobian_net`."""

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        pair = dict(data)
        ddf_vox = torch.as_tensor(pair["pred"]).float().cpu()
        moving_net = torch.as_tensor(pair["image"])[1:].float().cpu()
        warped = [
            sample_rows(moving_net, points.add_(ddf_vox[:, rows]))
            for rows, points in slabs_of_points(ddf_vox.shape[1:], ddf_vox)
        ]
        pair["warped_net"] = torch.cat(warped, dim=1)
        pair["jacobian_net"] = jacobian_determinant(ddf_vox, torch.eye(4))[None]
        return pair


class ResultsOnNativeGridsd(Transform):
    """Add what the files on the scans' own grids are made from.

    `warped` (1, H, W, D) int16, HU: the moving scan on the fixed grid, air outside; `inverse_ddf` (3, h, w, d): inverse
    of the ddf on the network grid, voxels. Dense displacements and Jacobians are computed for whoever asks for them:
    see `WorldTransform.displacement_mm` and `jacobian_on_grid`.
    """

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        pair = dict(data)
        transform = world_transform(pair)
        warp, invert = (
            partial(warp_to_fixed, pair["moving"], transform, pair["fixed"]),
            partial(invert_ddf, transform.ddf_vox),
        )
        pair["warped"], (pair["inverse_ddf"],) = side_by_side(lambda step: step(), (warp, invert))
        return pair


def warp_to_fixed(moving: MetaTensor, transform: WorldTransform, fixed: MetaTensor) -> MetaTensor:
    """Warp the moving scan (1, H, W, D), HU, to the fixed scan's own grid, in whole HU, int16; air outside the scan."""
    scan, shape = moving.as_tensor().float().cpu(), fixed.shape[1:]
    slabs = warp_volume(scan, moving.affine, transform, shape, fixed.affine, AIR_HU)
    return MetaTensor(as_int16(slabs, shape)[None], affine=fixed.affine)


def jacobian_on_grid(transform: WorldTransform, shape: Sequence[int], affine: Tensor) -> Iterator[tuple[slice, Tensor]]:
    """Determinant of the transform's Jacobian on a grid of the fixed world, slab by slab.

    Computed on the network grid, with a border beyond which the ddf is constant, and interpolated trilinearly.

    Yields: rows and their determinants (1, h, W, D).
    """
    padded = F.pad(transform.ddf_vox, [1] * 6, mode="replicate")[0]
    start, end = transform.grid_to_fixed.double(), transform.grid_to_moving.double()
    determinant = jacobian_determinant(padded, torch.eye(4)).mul_(
        float(torch.linalg.det(end) / torch.linalg.det(start))
    )
    to_padded = torch.linalg.inv(start) @ affine.double()
    to_padded[:3, 3] += 1.0
    return sample_on_grid(determinant[None], to_padded, shape)


def as_int16(slabs: Iterable[tuple[slice, Tensor]], shape: Sequence[int], *, step: float = 1.0) -> Tensor:
    """Collect slabs (1, h, W, D) of a volume as int16 (H, W, D) in units of `step`, rounded and clipped.

    In memory the first axis is the fastest one, as in NIfTI files.
    """
    volume = torch.empty(tuple(reversed(shape)), dtype=torch.int16).permute(2, 1, 0)
    for rows, part in slabs:
        volume[rows] = torch.from_numpy(as_stored((part[0] / step).numpy(), np.int16))
    return volume
