from __future__ import annotations

import math

import numpy as np
import pytest
import SimpleITK as sitk
import torch
from scipy.ndimage import binary_erosion
from scipy.spatial import cKDTree
from torch import Tensor

from bundle.metrics import contour_agreement

SHAPE, SPACING_MM = (60, 50, 44), (1.0, 1.25, 1.5)


def ball(radius_mm: float, centre_mm: tuple[float, float, float] = (30.0, 31.0, 33.0)) -> Tensor:
    axes = [torch.arange(side) * size for side, size in zip(SHAPE, SPACING_MM, strict=True)]
    points = torch.stack(torch.meshgrid(*axes, indexing="ij"), dim=-1)
    return (points - torch.tensor(centre_mm)).norm(dim=-1) <= radius_mm


def test_equal_contours_agree_perfectly() -> None:
    assert contour_agreement(ball(12.0), ball(12.0), SPACING_MM) == (1.0, 0.0, 0.0)


def test_concentric_balls_are_their_difference_in_radius_apart() -> None:
    found = contour_agreement(ball(12.0), ball(18.0), SPACING_MM)
    assert found.dice == pytest.approx(2 * 12**3 / (12**3 + 18**3), abs=0.01)
    assert found.mda_mm == pytest.approx(6.0, abs=0.4)  # surfaces are voxel centres: half a voxel
    assert found.hd95_mm == pytest.approx(6.0, abs=1.0)


def test_shifted_balls_have_the_overlap_of_their_lens() -> None:
    shift, radius = 8.0, 14.0
    lens = math.pi * (4 * radius + shift) * (2 * radius - shift) ** 2 / 12
    found = contour_agreement(ball(radius), ball(radius, (38.0, 31.0, 33.0)), SPACING_MM)
    assert found.dice == pytest.approx(lens / (4 / 3 * math.pi * radius**3), abs=0.01)
    surfaces = [surface_mm(ball(radius)), surface_mm(ball(radius, (38.0, 31.0, 33.0)))]
    there, back = (cKDTree(other).query(own)[0] for own, other in (surfaces, surfaces[::-1]))
    assert found.mda_mm == pytest.approx(np.concatenate([there, back]).mean(), abs=1e-4)
    assert found.hd95_mm == pytest.approx(max(np.percentile(there, 95), np.percentile(back, 95)), abs=1e-4)


def surface_mm(mask: Tensor) -> np.ndarray:
    """Centres (N, 3), mm, of the voxels of a mask with a neighbour outside."""
    inside = mask.numpy()
    return np.argwhere(inside & ~binary_erosion(inside)) * np.array(SPACING_MM)


def test_the_spacing_belongs_to_the_axes() -> None:
    box = torch.zeros(SHAPE, dtype=torch.bool)
    box[20:30, 20:30, 10:20] = True
    for axis, size in enumerate(SPACING_MM):
        moved = contour_agreement(box, box.roll(4, dims=axis), SPACING_MM)
        image, other = (
            sitk.GetImageFromArray(mask.byte().permute(2, 1, 0).contiguous().numpy())
            for mask in (box, box.roll(4, dims=axis))
        )
        for volume in (image, other):
            volume.SetSpacing(SPACING_MM)
        measure = sitk.HausdorffDistanceImageFilter()
        measure.Execute(image, other)
        assert measure.GetHausdorffDistance() == pytest.approx(4 * size)
        assert moved.hd95_mm == pytest.approx(4 * size)
        assert moved.dice == pytest.approx(0.6)


def test_an_empty_contour_has_no_distance() -> None:
    empty = torch.zeros(SHAPE)
    dice, *distances = contour_agreement(ball(9.0), empty, SPACING_MM)
    assert dice == 0.0
    assert all(map(math.isnan, distances))
    assert all(map(math.isnan, contour_agreement(empty, empty, SPACING_MM)))


def test_masks_of_other_shapes_are_refused() -> None:
    with pytest.raises(ValueError, match=r"expected two masks.*\(60, 50, 44\), \(2, 2, 2\)"):
        contour_agreement(ball(9.0), torch.zeros(2, 2, 2), SPACING_MM)
