from __future__ import annotations

import numpy as np
import pytest

from bundle.function.measures.density import density_change
from tests.function.breaths import SHEAR, UNIFORM, density_at, make_scans


@pytest.mark.parametrize("exhale", ["fixed", "moving"])
def test_nothing_changes_where_mass_is_conserved(exhale: str) -> None:
    np.testing.assert_allclose(density_change(make_scans(SHEAR).breath(exhale), 0.0), 0.0, atol=0.2)


@pytest.mark.parametrize("exhale", ["fixed", "moving"])
def test_a_change_of_mass_is_the_change_of_density_at_inhale(exhale: str) -> None:
    breath = make_scans(UNIFORM, mass=1.1).breath(exhale)
    fixed = density_at(breath.points_mm()).numpy()
    inhale = fixed if exhale == "moving" else 1.1 * fixed / 0.9**3
    sign = 0.1 if exhale == "moving" else -0.1 / 1.1
    np.testing.assert_allclose(density_change(breath, 0.0), sign * inhale, rtol=0.01, atol=0.2)
