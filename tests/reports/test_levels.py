from __future__ import annotations

import math
from pathlib import Path

import matplotlib.image
import numpy as np
import pytest
import torch
from torch import Tensor

from bundle.geometry import apply_affine, identity_vox, upsample_ddf
from bundle.reports.levels import draw_level_fields, draw_warped_scans, level_displacement_mm
from tests.reports.conftest import Store

SHAPE = (32, 48, 16)


def rotated_affine() -> Tensor:
    affine = torch.eye(4, dtype=torch.float64)
    cos, sin = math.cos(0.4), math.sin(0.4)
    rotation = torch.tensor([[cos, -sin, 0], [sin, cos, 0], [0, 0, 1]], dtype=torch.float64)
    affine[:3, :3] = rotation @ torch.diag(torch.tensor([1.5, 2.0, 3.0], dtype=torch.float64))
    affine[:3, 3] = torch.tensor([-20.0, 5.0, 70.0])
    return affine


@pytest.mark.parametrize("factor", [1, 2, 4, 8, 16])
def test_one_motion_is_the_same_millimetres_on_every_level(factor: int) -> None:
    motion_vox = torch.tensor([3.0, -2.0, 1.0])
    level_shape = [side // factor for side in SHAPE]
    level = (motion_vox / factor).view(3, 1, 1, 1).expand(3, *level_shape)
    displacement_mm, _ = level_displacement_mm(level, rotated_affine(), SHAPE)
    expected = (rotated_affine()[:3, :3] @ motion_vox.double()).float()
    torch.testing.assert_close(displacement_mm, expected.view(3, 1, 1, 1).expand(3, *level_shape))


def test_level_voxels_sit_where_upsampling_puts_them() -> None:
    level_shape = [8, 12, 4]
    positions_vox = identity_vox(level_shape, torch.zeros(1))
    fine_vox = upsample_ddf(positions_vox, 4)[0, :, ::4, ::4, ::4].flatten(1).T.double()
    _, level_affine = level_displacement_mm(torch.zeros(3, *level_shape), rotated_affine(), SHAPE)
    in_world = apply_affine(level_affine, positions_vox[0].flatten(1).T.double())
    torch.testing.assert_close(in_world, apply_affine(rotated_affine(), fine_vox))


def test_a_level_that_does_not_divide_the_network_grid_is_an_error() -> None:
    with pytest.raises(ValueError, match=r"ddf_vox: expected sides that divide \(32, 48, 16\).*got \(8, 12, 8\)"):
        level_displacement_mm(torch.zeros(3, 8, 12, 8), rotated_affine(), SHAPE)


@pytest.mark.parametrize("codes", ["RAS", "LPI", "SAL"])
def test_every_level_shows_the_moving_side_of_the_body_on_the_same_side(
    codes: str, stored_as: Store, tmp_path: Path
) -> None:
    """The patient's left lung moves, whatever the grid's orientation: the right of every panel lights up."""
    moving_side = np.zeros((32, 16, 48))
    moving_side[:16] = 1
    side, affine = stored_as(moving_side, codes)
    shape = (side.shape[0], side.shape[1], side.shape[2])
    levels = []
    for factor in (8, 4, 1):
        coarse = side[::factor, ::factor, ::factor] if factor > 1 else side
        levels.append(torch.stack([coarse, coarse, coarse]) / factor)
    draw_level_fields(tmp_path / "levels.png", levels_vox=levels, affine=affine, mask=torch.ones(shape))
    picture = matplotlib.image.imread(tmp_path / "levels.png")[..., :3]
    upper = picture[: picture.shape[0] // 2]
    still, moves = (0.27, 0.0, 0.33), (0.99, 0.91, 0.14)  # the ends of viridis
    purple, yellow = [np.abs(upper - np.array(colour)).max(axis=-1) < 0.1 for colour in (still, moves)]
    for panel in range(3):
        columns = slice(panel * upper.shape[1] * 29 // 100, (panel + 1) * upper.shape[1] * 29 // 100)
        assert np.nonzero(purple[:, columns])[1].mean() < np.nonzero(yellow[:, columns])[1].mean()


def test_scans_stand_side_by_side_in_the_order_given(tmp_path: Path) -> None:
    scans = {"fixed": -1000.0, "moving": -400.0, "warped": 200.0}
    draw_warped_scans(
        tmp_path / "warped.png",
        scans_hu={name: torch.full((6, 7, 8), value) for name, value in scans.items()},
        affine=rotated_affine(),
    )
    picture = matplotlib.image.imread(tmp_path / "warped.png")[..., 0]
    third = picture.shape[1] // 3
    row = picture[picture.shape[0] // 4]
    medians = [float(np.median(row[start + third // 4 : start + 3 * third // 4])) for start in (0, third, 2 * third)]
    assert medians == pytest.approx([0.0, 0.5, 1.0], abs=0.02)
