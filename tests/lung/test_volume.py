from __future__ import annotations

import pytest
import torch
from monai.data import MetaTensor

from bundle.lung import volume_ml, voxel_ml
from tests.grids import make_affine


def test_a_box_on_an_oblique_flipped_grid_has_the_product_of_its_sides() -> None:
    affine = make_affine((12, 10, 8), (2.0, 1.5, 3.0), angles_deg=(20, -10, 35), flip=(-1, 1, -1))
    labels = torch.zeros(1, 12, 10, 8, dtype=torch.uint8)
    labels[:, 1:6, 2:6, 3:5] = 2
    assert voxel_ml(affine) == pytest.approx(0.009)
    assert volume_ml(MetaTensor(labels, affine=affine)) == pytest.approx(5 * 2.0 * 4 * 1.5 * 2 * 3.0 / 1000)
