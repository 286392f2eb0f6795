from __future__ import annotations

from pathlib import Path

import matplotlib.image
import numpy as np
import torch

from bundle.synthetic.phantom import make_phantom
from bundle.synthetic.phantom.picture import _moving_at, draw_phantom


def test_the_picture_has_three_rows_and_five_columns_of_content(tmp_path: Path) -> None:
    draw_phantom(make_phantom(0, spacing_mm=(10.0, 9.0, 11.0)), tmp_path / "phantom.png")
    picture = matplotlib.image.imread(tmp_path / "phantom.png")[..., :3]
    height, width = picture.shape[:2]
    assert width > 1000
    tiles = [
        picture[row * height // 3 : (row + 1) * height // 3, column * width // 5 : (column + 1) * width // 5]
        for row in range(3)
        for column in range(5)
    ]
    assert min(tile.std() for tile in tiles) > 0.05


def test_the_exact_field_brings_the_moving_lungs_onto_the_fixed_ones() -> None:
    case = make_phantom(0, spacing_mm=(6.0, 6.5, 7.0))
    field = torch.from_numpy(case.displacement_mm)
    air = case.fixed_mask > 0
    before, after = (np.mean(_moving_at(case, shift).numpy()[air] < -500) for shift in (torch.zeros_like(field), field))
    assert after > 0.9 > before
