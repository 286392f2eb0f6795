from __future__ import annotations

import numpy as np
import pytest

from bundle.reports.field_colors import rgb_field


@pytest.mark.parametrize(
    ("vector_mm", "colour"),
    [
        ((0, 0, 0), (0.5, 0.5, 0.5)),
        ((8, 0, 0), (1, 0.5, 0.5)),
        ((0, -8, 0), (0.5, 0, 0.5)),
        ((0, 0, 4), (0.5, 0.5, 0.75)),
        ((80, -80, 8), (1, 0, 1)),
    ],
)
def test_each_direction_has_its_colour_and_opposites_differ(
    vector_mm: tuple[float, ...], colour: tuple[float, ...]
) -> None:
    field = np.array(vector_mm, dtype=np.float64)[:, None, None].repeat(2, axis=1)
    assert rgb_field(field, limit_mm=8.0).shape == (2, 1, 3)
    np.testing.assert_allclose(rgb_field(field, limit_mm=8.0)[0, 0], colour)
