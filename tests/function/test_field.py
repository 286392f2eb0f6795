from __future__ import annotations

import itk
import pytest
import torch

from bundle.function.field import field_of
from bundle.geometry import WorldTransform
from bundle.io import itk_transform, transform_points
from tests.grids import make_affine, rotation, waves_vox

SHAPE = (12, 10, 14)


def test_the_field_maps_points_as_itk_does() -> None:
    grid = make_affine(SHAPE, (5.0, 4.0, 6.0), angles_deg=(10, -5, 20), flip=(-1, 1, 1))
    start = WorldTransform(waves_vox(SHAPE, amplitude_vox=0.5), grid, rotation(3, -2, 5) @ grid)
    corners_mm = torch.tensor([[-25.0, -18.0, -38.0], [25.0, 18.0, 38.0]], dtype=torch.float64)
    transform = itk_transform(start, corners_mm)
    points_mm = torch.rand(50, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64) * 30 - 15
    found = field_of(transform).transform_points_mm(points_mm)
    torch.testing.assert_close(found, transform_points(transform, points_mm), atol=1e-3, rtol=0)


def test_another_transform_is_refused() -> None:
    with pytest.raises(ValueError, match=r"other\.tfm: expected the transform of a registration.*got AffineTransform"):
        field_of(itk.AffineTransform[itk.D, 3].New(), name="other.tfm")
