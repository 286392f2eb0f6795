from __future__ import annotations

import numpy as np
import pytest
import torch
from monai.data import MetaTensor

from bundle.geometry import WorldTransform
from bundle.series.fields import identity_like
from bundle.series.transitivity import MAX_POINTS, lung_points_mm, summarize_transitivity, transitivity_mm
from tests.grids import make_affine, rotation

GRID = make_affine((8, 8, 8), (20.0, 20.0, 20.0), angles_deg=(10, 20, -5))


def linear(affine: torch.Tensor) -> WorldTransform:
    return WorldTransform(torch.zeros(1, 3, 8, 8, 8), GRID, affine @ GRID)


def moved(*shift_mm: float, angles_deg: tuple[float, float, float] = (0.0, 0.0, 0.0)) -> torch.Tensor:
    affine = rotation(*angles_deg)
    affine[:3, 3] = torch.tensor(shift_mm)
    return affine


FIRST, SECOND = moved(3, -4, 12, angles_deg=(3, 0, -2)), moved(-5, 1, 20, angles_deg=(0, 4, 1))


def test_transforms_that_compose_are_transitive() -> None:
    points = torch.randn(100, 3, dtype=torch.float64) * 50
    direct = linear(SECOND @ torch.linalg.inv(FIRST))
    assert transitivity_mm(linear(FIRST), linear(SECOND), direct, points).max() < 1e-9


def test_a_direct_transform_that_is_off_is_off_by_that_much() -> None:
    points = torch.randn(100, 3, dtype=torch.float64) * 50
    direct = linear(moved(1, 2, -2) @ SECOND @ torch.linalg.inv(FIRST))
    torch.testing.assert_close(
        transitivity_mm(linear(FIRST), linear(SECOND), direct, points), torch.full((100,), 3.0).double()
    )


def test_the_summary_holds_each_pair_and_all_of_them() -> None:
    mask = torch.zeros(1, 20, 20, 20)
    mask[:, 5:10, 5:10, 5:10] = 1
    lungs = MetaTensor(mask, affine=make_affine((20, 20, 20), (3.0, 2.0, 5.0), angles_deg=(0, 30, 0)))
    transforms = {"a": linear(FIRST), "b": linear(SECOND)}
    transforms["ref"] = identity_like(transforms["a"])
    exact = SECOND @ torch.linalg.inv(FIRST)
    pairs = {("a", "b"): linear(moved(0, 0, 4) @ exact), ("b", "ref"): linear(torch.linalg.inv(SECOND))}
    found = summarize_transitivity(pairs, transforms, lungs)
    assert found["points"] == 125
    assert [(row["from"], row["to"], row["mean_mm"], row["p95_mm"]) for row in found["pairs"]] == [
        ("a", "b", 4.0, 4.0),
        ("b", "ref", 0.0, 0.0),
    ]
    assert (found["mean_mm"], found["max_mm"]) == (2.0, 4.0)
    nothing = summarize_transitivity({}, transforms, lungs)
    assert "mean_mm" not in nothing
    assert nothing["pairs"] == []


@pytest.mark.parametrize("side", [30, 60])
def test_many_voxels_are_thinned_evenly(side: int) -> None:
    lungs = MetaTensor(torch.ones(1, side, side, side), affine=torch.eye(4))
    points = lung_points_mm(lungs)
    assert len(points) == min(side**3, MAX_POINTS)
    np.testing.assert_allclose(points.mean(dim=0), (side - 1) / 2, atol=0.5)
