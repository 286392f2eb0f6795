from __future__ import annotations

from pathlib import Path

import matplotlib.image
import numpy as np
import torch

from scripts.benchmark.overlays import draw_benchmark_overlays
from tests.chest import Chest, lungs_of, render
from tests.grids import make_affine

SHIFT_MM = torch.tensor([14.0, -3.0, 26.0])


def test_the_true_motion_gives_a_grey_panel_and_none_a_coloured_one(tmp_path: Path) -> None:
    chest, shape = Chest(), (46, 40, 36)
    fixed = render(chest, (40, 36, 34), make_affine((40, 36, 34), (5.5, 5.0, 6.0), angles_deg=(4, 0, -6)))
    to_chest = torch.eye(4, dtype=torch.float64)
    to_chest[:3, 3] = -SHIFT_MM
    moving = render(
        chest,
        shape,
        make_affine(shape, (4.5, 5.0, 6.5), flip=(-1, -1, 1), centre_mm=tuple(SHIFT_MM)),
        to_chest=to_chest,
    )
    grid = tuple(fixed.shape[1:])
    draw_benchmark_overlays(
        tmp_path / "overlays.png",
        fixed=fixed[0].as_tensor(),
        moving=moving[0].as_tensor(),
        affine=fixed.affine,
        moving_affine=moving.affine,
        mask=lungs_of(chest, fixed)[0].as_tensor(),
        displacements_mm={"none": torch.zeros(3, *grid), "true": SHIFT_MM.view(3, 1, 1, 1).expand(3, *grid)},
    )
    picture = matplotlib.image.imread(tmp_path / "overlays.png")[..., :3]
    none, true = (np.ptp(half, axis=-1).mean() for half in np.array_split(picture, 2, axis=1))
    assert none > 4 * true
