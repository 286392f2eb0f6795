from __future__ import annotations

import logging
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from bundle.io import ImageHeader, check_system, read_landmarks_mm
from bundle.io.landmarks.system import LandmarkSystem, fitting_systems, to_world
from tests.grids import make_affine

SHAPE = (60, 50, 40)
# voxels, LPS and RAS mm all fall into this scan: its origin lies near its middle, as in files with a lost origin
NEAR = ImageHeader("near.nii.gz", SHAPE, make_affine(SHAPE, (1.5, 2.0, 2.5), flip=(-1, -1, 1)))
# only voxels or only mm do
FAR = ImageHeader(
    "far.nii.gz", SHAPE, make_affine(SHAPE, (0.7, 0.7, 2.5), angles_deg=(0, 0, 9), centre_mm=(9, 7, -1300))
)
HINT = r"--landmark_system dirlab \(voxels from 1\), voxel0 \(voxels from 0\), lps or ras \(mm\)"


def numbers(scan: ImageHeader, system: LandmarkSystem, vox: Tensor) -> Tensor:
    """Values that a file in a system holds for voxels of a scan."""
    if system in ("dirlab", "voxel0"):
        return vox + (system == "dirlab")
    ras = vox @ scan.affine[:3, :3].T + scan.affine[:3, 3]
    return ras * torch.tensor([-1.0, -1, 1]) if system == "lps" else ras


@pytest.fixture
def vox() -> Tensor:
    return torch.tensor([[3.0, 4.0, 5.0], [40.0, 30.0, 20.0], [22.0, 33.0, 31.0]], dtype=torch.float64)


def write(folder: Path, name: str, values: Tensor, *, header: str = "") -> Path:
    separator = "," if name.endswith(".csv") else " "
    np.savetxt(folder / name, values.numpy(), fmt="%.10g", delimiter=separator, header=header, comments="")
    return folder / name


@pytest.mark.parametrize("system", ["dirlab", "voxel0", "lps", "ras"])
@pytest.mark.parametrize(("name", "header"), [("a.txt", ""), ("a.csv", ""), ("a.csv", "x,y,z"), ("a.pts", "")])
@pytest.mark.parametrize("scan", [NEAR, FAR], ids=["near", "far"])
def test_an_explicit_system_gives_the_points_in_every_kind_of_table(
    scan: ImageHeader, name: str, header: str, system: LandmarkSystem, vox: Tensor, tmp_path: Path
) -> None:
    path = write(tmp_path, name, numbers(scan, system, vox), header=header)
    expected = vox @ scan.affine[:3, :3].T + scan.affine[:3, 3]
    torch.testing.assert_close(read_landmarks_mm(path, scan, system=system), expected, atol=1e-6, rtol=0)


@pytest.mark.parametrize("system", ["voxel0", "dirlab", "lps", "ras"])
@pytest.mark.parametrize("fraction", [0.0, 0.25])
@pytest.mark.parametrize("scan", [NEAR, FAR], ids=["near", "far"])
def test_rows_of_three_numbers_in_a_txt_are_refused_with_the_hint(
    scan: ImageHeader, fraction: float, system: LandmarkSystem, vox: Tensor, tmp_path: Path
) -> None:
    """Those that fit voxels from 0 as well as from 1, or millimetres: never taken for DIR-Lab's silently."""
    path = write(tmp_path, "a.txt", numbers(scan, system, vox + fraction))
    with pytest.raises(
        ValueError, match=rf"a\.txt: expected DIR-Lab's voxels, found .*; say what they are with {HINT}"
    ):
        read_landmarks_mm(path, scan)


@pytest.mark.parametrize("system", ["voxel0", "dirlab"])
@pytest.mark.parametrize("scan", [NEAR, FAR], ids=["near", "far"])
@pytest.mark.parametrize("fraction", [0.0, 0.25])
def test_voxels_under_x_y_z_are_refused(
    fraction: float, scan: ImageHeader, system: LandmarkSystem, vox: Tensor, tmp_path: Path
) -> None:
    path = write(tmp_path, "a.csv", numbers(scan, system, vox + fraction) * torch.tensor([0.5, 0.5, 1]), header="x,y,z")
    with pytest.raises(ValueError, match=rf"a\.csv: (expected LPS mm under x,y,z, found .*{HINT}|\d of 3 landmarks)"):
        read_landmarks_mm(path, scan)


def test_millimetres_under_x_y_z_are_lps_where_no_voxels_fit(vox: Tensor, tmp_path: Path) -> None:
    path = write(tmp_path, "a.csv", numbers(FAR, "lps", vox), header="x,y,z")
    expected = vox @ FAR.affine[:3, :3].T + FAR.affine[:3, 3]
    torch.testing.assert_close(read_landmarks_mm(path, FAR), expected, atol=1e-6, rtol=0)


def test_dirlabs_voxels_are_known_by_their_name_or_by_the_last_voxel(vox: Tensor, tmp_path: Path) -> None:
    for name, rows in (("case1_300_T00_xyz.txt", vox), ("a.txt", torch.cat([vox, torch.tensor([[59.0, 0, 0]])]))):
        path = write(tmp_path, name, numbers(FAR, "dirlab", rows))
        expected = rows @ FAR.affine[:3, :3].T + FAR.affine[:3, 3]
        torch.testing.assert_close(read_landmarks_mm(path, FAR), expected.double())
    path = write(tmp_path, "case1_300_T00_xyz.txt", numbers(FAR, "voxel0", torch.cat([vox, torch.zeros(1, 3)])))
    with pytest.raises(ValueError, match="found whole numbers, and voxel0 would place all of them inside far"):
        read_landmarks_mm(path, FAR)


def test_a_stated_system_wins_with_a_warning(tmp_path: Path, caplog: pytest.LogCaptureFixture, vox: Tensor) -> None:
    path = write(tmp_path, "a.csv", numbers(FAR, "ras", vox), header="r,a,s")
    with caplog.at_level(logging.WARNING):
        points = read_landmarks_mm(path, FAR, system="lps")
    torch.testing.assert_close(points, to_world(numbers(FAR, "ras", vox), "ras", None), atol=1e-6, rtol=0)
    assert "the file states its coordinates (ras); landmark_system lps is ignored" in caplog.text


def test_without_a_scan_only_fractions_under_x_y_z_are_millimetres(vox: Tensor, tmp_path: Path) -> None:
    assert read_landmarks_mm(write(tmp_path, "a.csv", vox + 0.5, header="x,y,z"), None).shape == (3, 3)
    for name, header in (("a.csv", "x,y,z"), ("a.txt", "")):
        with pytest.raises(ValueError, match=rf"{name}: three numbers a point do not say .*{HINT}"):
            read_landmarks_mm(write(tmp_path, name, vox, header=header), None)
    with pytest.raises(ValueError, match=r"a\.txt: these landmarks are voxel indices: expected their scan, got none"):
        read_landmarks_mm(write(tmp_path, "a.txt", vox), None, system="voxel0")


def test_systems_are_named_in_errors() -> None:
    assert [check_system(name) for name in (None, "", "lps")] == [None, None, "lps"]
    with pytest.raises(ValueError, match="landmark_system: expected one of dirlab, voxel0, lps, ras, got 'LPS'"):
        check_system("LPS")


def test_the_readings_that_fit_are_found(vox: Tensor) -> None:
    assert fitting_systems(numbers(FAR, "voxel0", vox), FAR) == ["dirlab", "voxel0"]
    assert fitting_systems(numbers(FAR, "ras", vox), FAR) == ["ras"]
