from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from bundle.voxel_size import LIMITS_MM, check_voxel_mm, check_voxels_mm


@pytest.mark.parametrize("name", LIMITS_MM)
@pytest.mark.parametrize("value", [None, 1, 1.5, 10, np.float32(2.0)])
def test_voxels_of_scanners_and_the_default_are_taken(name: str, value: Any) -> None:
    check_voxel_mm(name, value)


@pytest.mark.parametrize("name", ["spacing_mm", "--spacing_mm"])
def test_the_grid_of_the_field_may_be_finer_than_the_network_s(name: str) -> None:
    check_voxel_mm(name, 0.5)
    with pytest.raises(ValueError, match=r"^network_spacing_mm: expected 1 to 10 mm, got 0\.5$"):
        check_voxel_mm("network_spacing_mm", 0.5)


@pytest.mark.parametrize(
    "value", [900, 10.01, 1e300, 0.49, 0.01, 1e-300, 0, -1.5, float("nan"), float("inf"), True, "1.5", [1.5], 1j]
)
def test_what_no_machine_can_hold_or_no_lung_is_seen_in_is_refused(value: Any) -> None:
    with pytest.raises(ValueError, match=r"^--spacing_mm: expected 0\.5 to 10 mm, got ") as refused:
        check_voxel_mm("--spacing_mm", value)
    assert str(refused.value).endswith(f"got {value!r}")
    assert "\n" not in str(refused.value)


def test_the_voxels_among_options_are_checked() -> None:
    check_voxels_mm({"refine": "none", "spacing_mm": None, "network_spacing_mm": 4.0})
    with pytest.raises(ValueError, match=r"^network_spacing_mm: expected 1 to 10 mm, got 900$"):
        check_voxels_mm({"spacing_mm": 2.0, "network_spacing_mm": 900})
