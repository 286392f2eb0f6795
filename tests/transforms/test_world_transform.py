from __future__ import annotations

from typing import Any

import torch

from bundle.geometry import apply_affine
from bundle.transforms import world_transform


def test_a_voxel_goes_where_its_ddf_and_the_two_affines_of_the_grid_put_it(pair: dict[str, Any]) -> None:
    at_voxel = torch.tensor([[2, 7, 11]])
    fixed_mm = apply_affine(pair["grid_to_fixed"], at_voxel.double())
    ddf_vox = torch.as_tensor(pair["pred"])[:, 2, 7, 11].double()
    expected = apply_affine(pair["grid_to_moving"], at_voxel + ddf_vox)
    torch.testing.assert_close(world_transform(pair).transform_points_mm(fixed_mm), expected, atol=1e-4, rtol=0)
