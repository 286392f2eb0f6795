from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from bundle.io.dirlab import GRIDS, Collection, find_cases
from bundle.synthetic.phantom import PhantomCase, make_phantom, write_dirlab_case

SHAPE, SPACING_MM = (72, 64, 60), (4.5, 5.0, 5.0)
COARSE_MM = (6.0, 5.0, 7.0)


def read_raw(path: Path) -> np.ndarray:
    """As DIR-Lab's own readers do: little-endian int16, z slowest."""
    return np.fromfile(path, "<i2").reshape(SHAPE[::-1]).transpose(2, 1, 0)


def test_voxels_run_from_right_anterior_superior_and_landmarks_count_from_one(
    phantom: PhantomCase, tmp_path: Path
) -> None:
    folder = write_dirlab_case(phantom, tmp_path, 3, shape=SHAPE, spacing_mm=SPACING_MM)
    assert folder == tmp_path / "copd3"
    for breath, points_mm in (("iBH", phantom.fixed_landmarks_mm), ("eBH", phantom.moving_landmarks_mm)):
        rows = np.loadtxt(folder / f"copd3_300_{breath}_xyz_r1.txt").astype(int)
        assert rows.shape == (300, 3)
        assert rows.min() >= 1
        assert (rows.max(axis=0) <= SHAPE).all()
        for axis in range(3):  # RAS falls where indices rise
            steps = np.diff(rows[:, axis]) * SPACING_MM[axis]
            np.testing.assert_allclose(steps, -np.diff(points_mm[:, axis]), atol=SPACING_MM[axis])
        volume = read_raw(folder / f"copd3_{breath}CT.img")
        at_forks = volume[tuple((rows - 1).T)]
        assert np.median(at_forks) < 1024 - 600  # inside the lungs, HU + 1024


def test_displacements_between_indices_are_those_of_the_phantom(phantom: PhantomCase, tmp_path: Path) -> None:
    folder = write_dirlab_case(phantom, tmp_path, 1, shape=SHAPE, spacing_mm=SPACING_MM)
    fixed, moving = (np.loadtxt(folder / f"copd1_300_{breath}_xyz_r1.txt") for breath in ("iBH", "eBH"))
    expected = (phantom.moving_landmarks_mm - phantom.fixed_landmarks_mm) * [-1, -1, -1]
    np.testing.assert_allclose((moving - fixed) * SPACING_MM, expected, atol=max(SPACING_MM) + 1e-6)


def test_corners_outside_the_round_field_of_view_hold_the_padding_value(phantom: PhantomCase, tmp_path: Path) -> None:
    folder = write_dirlab_case(phantom, tmp_path, 2, shape=SHAPE, spacing_mm=SPACING_MM)
    volume = read_raw(folder / "copd2_iBHCT.img")
    assert (volume[0, 0] == -2000).all()
    assert (volume[-1, -1] == -2000).all()
    inside = volume[36, 32]
    assert inside.min() > -200
    assert inside.max() > 900


@pytest.mark.parametrize(
    ("number", "collection"), [*((n, "COPDgene") for n in (1, 10)), *((n, "4DCT") for n in (1, 2, 5, 6, 8, 10))]
)
def test_the_reader_finds_every_naming_variant(
    phantom: PhantomCase, tmp_path: Path, number: int, collection: Collection
) -> None:
    write_dirlab_case(phantom, tmp_path, number, collection=collection, shape=SHAPE, spacing_mm=SPACING_MM)
    case = next(case for case in find_cases(tmp_path) if case.number == number and case.files)
    assert case.collection == collection
    assert {role: len(files) for role, files in case.files.items()} == {
        "fixed": 1,
        "moving": 1,
        "fixed_landmarks": 1,
        "moving_landmarks": 1,
    }


def test_a_grid_too_small_for_the_lungs_is_an_error(phantom: PhantomCase, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"shape \(20, 20, 20\) at .* landmarks of inhale lie outside it"):
        write_dirlab_case(phantom, tmp_path, 1, shape=(20, 20, 20), spacing_mm=SPACING_MM)
    assert list(tmp_path.rglob("*.img")) == []


@pytest.mark.slow
@pytest.mark.parametrize(("number", "collection"), [(2, "COPDgene"), (1, "4DCT")])  # the lowest and the narrowest
def test_a_case_of_published_size_is_read_back(tmp_path: Path, number: int, collection: Collection) -> None:
    small = make_phantom(0, spacing_mm=COARSE_MM, body_scale=0.8, mean_mm=(8.0, 20.0), shift_mm=5.0)
    write_dirlab_case(small, tmp_path, number, collection=collection)
    case = next(case for case in find_cases(tmp_path) if case.number == number)
    volume = case.read_volume_hu("fixed")
    assert volume.shape == GRIDS[collection][number][:3]
    assert volume[0, 0, 0] == -1000
    rows = np.loadtxt(case.file("fixed_landmarks")).astype(int) - 1
    assert np.median(volume[tuple(rows.T)]) < -600
