from __future__ import annotations

import numpy as np
import pytest

from bundle.function.measures.air import air_fraction, density_g_per_l, mass_g


def test_a_litre_of_water_weighs_a_kilogram_and_air_nothing() -> None:
    assert mass_g(np.zeros(1000, np.float32), 1.0) == pytest.approx(1000.0)
    assert mass_g(np.full(1000, -1000.0, np.float32), 1.0) == 0.0


def test_air_and_density_are_clipped() -> None:
    hu = np.array([-1024.0, -850.0, 0.0, 40.0], np.float32)
    np.testing.assert_allclose(density_g_per_l(hu), [0, 150, 1000, 1040])
    np.testing.assert_allclose(air_fraction(hu), [1, 0.85, 0, 0])
