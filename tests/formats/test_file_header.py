from __future__ import annotations

import numpy as np
import pytest

from bundle.formats.file_header import (
    check_components,
    check_geometry,
    check_origin,
    check_shape,
    numbers,
    unit_in_mm,
    whole_numbers,
)


def test_an_oblique_grid_passes_and_a_sheared_one_does_not() -> None:
    turned = np.array([[0.6, -0.8, 0], [0.8, 0.6, 0], [0, 0, 1]])
    check_geometry("scan.mha", np.array([0.7, 1.1, 2.5]), turned)
    with pytest.raises(ValueError, match=r"scan\.mha: the direction is not orthonormal .* off by 0\.2"):
        check_geometry("scan.mha", np.ones(3), np.array([[1, 0.2, 0], [0, 1, 0], [0, 0, 1]]))


@pytest.mark.parametrize("size", [0.0, -1.0, np.nan, np.inf])
def test_a_spacing_is_above_zero_and_finite(size: float) -> None:
    with pytest.raises(ValueError, match=r"scan: expected a spacing above 0 mm on every axis, got \(1, 2, "):
        check_geometry("scan", np.array([1, 2, size]), np.eye(3))


@pytest.mark.parametrize("size", [1e-30, 5e-4, 2e3, 1e30])
def test_a_spacing_is_one_of_a_scanner(size: float) -> None:
    with pytest.raises(ValueError, match=r"expected a spacing of 0\.001 to 1000 mm, .*; check the unit of the header"):
        check_geometry("scan", np.array([1, 2, size]), np.eye(3))


def test_a_volume_has_three_sides() -> None:
    assert check_shape("scan", [8, 9, 10, 1]) == (8, 9, 10)
    for shape in ([8, 9], [8, 9, 10, 2], [8, 9, 1], [0, 9, 10]):
        with pytest.raises(ValueError, match="scan: expected one 3-D volume, got an image of shape"):
            check_shape("scan", shape)


def test_a_volume_no_memory_could_hold_is_refused_before_it_is_read() -> None:
    with pytest.raises(ValueError, match="scan: expected at most 2147483648 voxels"):
        check_shape("scan", [32767, 32767, 32767])


def test_numbers_of_a_field() -> None:
    assert numbers("scan", "Offset", "1 2.5 -3", 3) == [1, 2.5, -3]
    assert whole_numbers("scan", "DimSize", "8 9 10") == [8, 9, 10]
    with pytest.raises(ValueError, match="scan: unreadable header: Offset: expected 3 numbers, got '1 2'"):
        numbers("scan", "Offset", "1 2", 3)
    with pytest.raises(ValueError, match="scan: unreadable header: Offset: expected numbers, got 'a b'"):
        numbers("scan", "Offset", "a b")
    for text in ("8.5", "-1", "nan", "inf"):
        with pytest.raises(ValueError, match="DimSize: expected whole numbers"):
            whole_numbers("scan", "DimSize", text)


def test_units() -> None:
    assert [unit_in_mm("scan", unit) for unit in ("mm", "m", "cm", "um", " Micron ")] == [1, 1000, 10, 1e-3, 1e-3]
    with pytest.raises(ValueError, match=r"scan: expected lengths in m, .* got the unit 'furlong'"):
        unit_in_mm("scan", "furlong")


def test_positions_and_components() -> None:
    check_origin("scan", [1, 2, 3])
    with pytest.raises(ValueError, match=r"scan: expected a finite position of the first voxel, got \(1, nan, 3\)"):
        check_origin("scan", [1, np.nan, 3])
    check_components("field", 3, 3)
    with pytest.raises(ValueError, match=r"scan: expected one value per voxel, got 3 \(RGB or vectors\)"):
        check_components("scan", 3, 1)
    with pytest.raises(ValueError, match="field: expected 3 values per voxel, got 1"):
        check_components("field", 1, 3)
