from __future__ import annotations

import torch

from bundle.lung.parts import AirParts, find_parts
from bundle.lung.work_grid import TISSUE_HU, WorkGrid, work_grid
from tests.chest import SHAPE, Chest, dice, lungs_of, render


def parts_of(chest: Chest) -> tuple[AirParts | None, WorkGrid]:
    """The parts of a chest at the voxels of its scan."""
    grid = work_grid(render(chest))
    assert grid is not None
    assert grid.hu.shape == SHAPE
    return find_parts(grid, (grid.hu < TISSUE_HU) & ~grid.padding), grid


def test_lungs_outside_air_and_gas_are_told_apart() -> None:
    chest = Chest(trachea=False, bowel_gas=True)
    parts, grid = parts_of(chest)
    assert parts is not None
    assert dice(torch.from_numpy(parts.lungs), lungs_of(chest, render(chest))[0].as_tensor()) > 0.9  # without vessels
    assert not (parts.lungs & parts.others).any()
    assert (parts.outside | grid.padding)[0].all()  # corners of one value are padding
    assert (parts.others & ~parts.outside).sum() > 200  # the gas: 46 x 38 x 24 mm, cut by the last slice


def test_without_lungs_there_are_no_parts() -> None:
    assert parts_of(Chest(sides=(), trachea=False, bowel_gas=True))[0] is None
