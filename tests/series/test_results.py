from __future__ import annotations

import csv
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import torch
from monai.data import MetaTensor

from bundle.geometry import WorldTransform, apply_affine
from bundle.io import Landmarks, read_image, write_image
from bundle.series import Member
from bundle.series.fields import identity_like
from bundle.series.results import Series, displacement_figures, write_motion, write_volumes
from tests.grids import make_affine, voxel_centres_mm

SHAPE = (30, 28, 26)
AFFINE = make_affine(SHAPE, (4.0, 3.0, 5.0), angles_deg=(5, -10, 15), flip=(1, -1, 1), centre_mm=(5.0, -20.0, 400.0))
CENTRE_MM = torch.tensor([[5.0, -20.0, 395.0]], dtype=torch.float64)
SHIFTS_MM = torch.tensor([[0.0, 0.0, 0.0], [2.0, 4.0, 8.0], [4.0, 2.0, 19.0]], dtype=torch.float64)  # mean 2, 2, 9


def ball(shift_mm: torch.Tensor) -> torch.Tensor:
    """A soft ball of -800 to 0 HU, (H, W, D)."""
    distance = (voxel_centres_mm(SHAPE, AFFINE) - CENTRE_MM - shift_mm).norm(dim=1)
    return (800 * torch.exp(-((distance / 15) ** 2)) - 800).reshape(SHAPE)


@pytest.fixture
def series(tmp_path: Path) -> Series:
    """Three scans of a ball that moves by known shifts."""
    members, transforms = [], {}
    for name, shift in zip("abc", SHIFTS_MM, strict=True):
        members.append(Member(name, str(tmp_path / f"{name}.nii.gz")))
        write_image(members[-1].file, ball(shift), AFFINE)
        moved = torch.eye(4, dtype=torch.float64)
        moved[:3, 3] = shift
        transforms[name] = WorldTransform(torch.zeros(1, 3, 30, 28, 26), AFFINE, moved @ AFFINE)
    transforms["a"] = identity_like(transforms["a"])
    lungs = MetaTensor((ball(SHIFTS_MM[0]) > -500)[None].to(torch.uint8), affine=AFFINE)
    return Series(members, transforms, 0, read_image(members[0].file), lungs)


def centre_of(path: Path) -> np.ndarray:
    """Centre of mass of the ball, RAS mm."""
    image = nib.load(path)
    weights = np.clip(image.get_fdata() + 790, 0, None)
    index = np.array([np.average(grid, weights=weights) for grid in np.indices(SHAPE)])
    return apply_affine(torch.from_numpy(image.affine), torch.from_numpy(index)[None])[0].numpy()


def test_volumes_show_the_ball_at_the_reference_at_the_mean_and_all_over(series: Series, tmp_path: Path) -> None:
    write_volumes(tmp_path, series)
    still = nib.load(tmp_path / "mean_on_reference.nii.gz").get_fdata()
    inner = (slice(6, -6), slice(6, -6), slice(7, -7))  # the warped scans hold all of it
    np.testing.assert_allclose(still[inner], ball(SHIFTS_MM[0]).numpy()[inner], atol=30)  # of linear interpolation
    np.testing.assert_allclose(centre_of(tmp_path / "mean_on_reference.nii.gz"), CENTRE_MM[0], atol=0.2)
    at_mean = nib.load(tmp_path / "mean_position.nii.gz").get_fdata()
    np.testing.assert_allclose(at_mean[inner], ball(SHIFTS_MM.mean(dim=0)).numpy()[inner], atol=30)
    np.testing.assert_allclose(
        centre_of(tmp_path / "mean_position.nii.gz"), CENTRE_MM[0] + SHIFTS_MM.mean(dim=0), atol=0.2
    )
    largest = nib.load(tmp_path / "maximum_intensity.nii.gz").get_fdata()
    np.testing.assert_allclose(largest, np.max([ball(shift).numpy() for shift in SHIFTS_MM], axis=0), atol=1)
    assert (tmp_path / "animation.gif").stat().st_size > 1000


def rows_of(path: Path) -> list[dict[str, str]]:
    with path.open() as file:
        return list(csv.DictReader(file))


def test_motion_of_landmarks_and_labels_is_exact(series: Series, tmp_path: Path) -> None:
    landmarks = Landmarks(CENTRE_MM)
    write_motion(tmp_path, series, landmarks, series.lungs, {1: "ball"})
    expected = [4.0, 4.0, 19.0, np.linalg.norm([4.0, 2.0, 19.0])]
    rows = rows_of(tmp_path / "motion.csv")
    assert [(row["kind"], row["name"]) for row in rows] == [
        ("landmark", "1"),
        ("centroid", "ball"),
        ("surface_p95", "ball"),
    ]
    for row in rows:
        np.testing.assert_allclose([float(row[f"{axis}_mm"]) for axis in ("lr", "ap", "si", "3d")], expected, atol=2e-3)
    for row, shift in zip(rows_of(tmp_path / "labels.csv"), SHIFTS_MM, strict=True):
        assert float(row["surface_p95_mm"]) == pytest.approx(float(shift.norm()), abs=1e-3)
    assert len(rows_of(tmp_path / "trajectories.csv")) == 6
    assert (tmp_path / "trajectories.png").is_file()


def test_without_landmarks_and_labels_there_are_maps_only(series: Series, tmp_path: Path) -> None:
    figures = write_motion(tmp_path, series, None, None, {})
    assert figures["si"]["mean_mm"] == pytest.approx(19.0, abs=0.01)
    assert not list(tmp_path.glob("*.csv"))
    assert not (tmp_path / "trajectories.png").exists()


def test_displacements_are_lengths_over_the_lungs(series: Series) -> None:
    figures = displacement_figures(series)
    assert [figures[name]["mean_mm"] for name in "abc"] == pytest.approx(SHIFTS_MM.norm(dim=1).tolist(), abs=1e-3)
