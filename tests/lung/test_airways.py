from __future__ import annotations

import numpy as np

from bundle.lung.airways import find_airways

SPACING = np.array([3.0, 3.0, 3.0])


def tube(radius_mm: float, length: int, *, hu: float = -1000.0) -> np.ndarray:
    """A vertical tube in tissue from the top slice downwards."""
    volume = np.full((40, 44, 50), 40.0, np.float32)
    x, y = np.ogrid[:40, :44]
    volume[np.hypot((x - 20) * 3, (y - 22) * 3) < radius_mm, 50 - length :] = hu
    return volume


def test_a_trachea_is_found_whole_up_to_the_last_slice() -> None:
    hu = tube(8.5, 30)
    np.testing.assert_array_equal(find_airways(hu, hu < -400, SPACING, 1.0), hu < -400)


def test_lungs_bubbles_and_dense_tubes_are_no_airways() -> None:
    for hu in (tube(30.0, 30), tube(8.5, 6), tube(8.5, 30, hu=-600.0)):
        assert not find_airways(hu, hu < -400, SPACING, 1.0).any()


def test_airways_scale_with_the_chest() -> None:
    hu = tube(8.5, 30)
    np.testing.assert_array_equal(find_airways(hu, hu < -400, SPACING / 10, 0.1), hu < -400)
    assert not find_airways(hu, hu < -400, SPACING / 10, 1.0).any()
