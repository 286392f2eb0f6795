from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from monai.data import MetaTensor

from bundle.function.regions import find_regions
from tests.function.breaths import FIXED_GRID, Scans, make_scans


@pytest.fixture(scope="module")
def scans() -> Scans:
    return make_scans()


def test_sides_and_thirds_are_the_patients_on_a_turned_grid(scans: Scans) -> None:
    breath = scans.breath()
    regions = find_regions(breath, scans.lungs)
    points_mm = breath.points_mm().numpy()
    assert (points_mm[regions["right lung"], 0] > 0).all()  # RAS: 17 mm, as the lungs were made
    assert (points_mm[regions["left lung"], 0] < 0).all()
    for axis, names in ((2, ("apex third", "middle third", "base third")), (1, ("front third", "back third"))):
        heights = [points_mm[regions[name], axis] for name in names]
        assert all(high.min() > low.max() for high, low in pairwise(heights))
        thirds = np.ptp(points_mm[:, axis]) / 3
        assert heights[0].min() == pytest.approx(points_mm[:, axis].max() - thirds, abs=1.0)
    assert sum(regions[name].sum() for name in ("apex third", "middle third", "base third")) == len(points_mm)


def test_a_voxel_without_a_side_takes_the_nearest_one(scans: Scans) -> None:
    holes = scans.lungs.clone()
    holes[0, ::3] = 0
    breath = scans.breath()
    regions = find_regions(breath, MetaTensor(holes.as_tensor(), affine=FIXED_GRID))
    expected = find_regions(breath, scans.lungs)
    for name in ("right lung", "left lung"):
        np.testing.assert_array_equal(regions[name], expected[name])


def test_lobes_have_their_names_or_numbers(scans: Scans) -> None:
    lobes = scans.lungs.as_tensor().clone() * 4
    regions = find_regions(scans.breath(), None, MetaTensor(lobes, affine=FIXED_GRID), {4: "right upper"})
    expected = find_regions(scans.breath(), scans.lungs)
    np.testing.assert_array_equal(regions["right upper"], expected["right lung"])
    np.testing.assert_array_equal(regions["lobe 8"], expected["left lung"])
    assert "right lung" not in regions
