"""Ground-truth field of a synthetic pair on the network grid."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import Any

import torch
from monai.data import MetaTensor
from monai.transforms import Transform

from bundle.geometry import affine_columns, identity_vox
from bundle.io import read_displacement
from bundle.transforms.network_grid import put_on_grid


class GroundTruthFieldd(Transform):
    """Add `ground_truth_net` (4, H, W, D): the ddf, voxels, of the file `displacement`, and 1; after `NetworkGridd`.

    A pair without this file gets zeros, the fourth channel included. Raises: see `bundle.io.read_displacement`.
    """

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        pair = dict(data)
        grid_to_fixed, sides = pair["grid_to_fixed"], pair["fixed_net"].shape[1:]
        ground_truth = torch.zeros(4, *sides)
        if "displacement" in pair:
            displacement_mm, affine = read_displacement(pair["displacement"])
            shift_mm = put_on_grid(MetaTensor(displacement_mm, affine=affine), tuple(sides), grid_to_fixed).as_tensor()
            grid = identity_vox(list(sides), shift_mm)[0].flatten(1)
            moved_mm = affine_columns(grid_to_fixed, grid.double()) + shift_mm.flatten(1)
            moved_vox = affine_columns(torch.linalg.inv(pair["grid_to_moving"]), moved_mm)
            ground_truth[:3] = (moved_vox - grid).float().view(3, *sides)
            ground_truth[3] = 1.0
        pair["ground_truth_net"] = MetaTensor(ground_truth, affine=grid_to_fixed)
        return pair
