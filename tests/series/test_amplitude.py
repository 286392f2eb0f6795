from __future__ import annotations

from itertools import product
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import torch
from monai.data import MetaTensor
from PIL import Image

from bundle.geometry import WorldTransform
from bundle.series.amplitude import NAMES, STEP_MM, draw_amplitude, peak_to_peak, write_amplitude
from tests.grids import make_affine, voxel_centres_mm

SHAPE = (9, 11, 7)


def test_peak_to_peak_of_random_positions_equals_brute_force() -> None:
    positions = torch.randn(6, 3, 50, dtype=torch.float64)
    found = peak_to_peak(positions)
    for point in range(50):
        pairs = [positions[i, :, point] - positions[j, :, point] for i, j in product(range(6), repeat=2)]
        expected = [max(float(pair[axis]) for pair in pairs) for axis in range(3)]
        np.testing.assert_allclose(found[:, point], [*expected, max(float(pair.norm()) for pair in pairs)])


@pytest.mark.parametrize("flip", [(1, 1, 1), (-1, 1, -1)])
def test_maps_are_along_the_axes_of_the_patient_on_oblique_grids(tmp_path: Path, flip: tuple[int, int, int]) -> None:
    affine = make_affine(SHAPE, (3.0, 2.0, 5.0), angles_deg=(25, -15, 40), flip=flip, centre_mm=(10.0, -40.0, 300.0))
    grid = make_affine((12, 12, 12), (8.0, 8.0, 8.0), angles_deg=(5, 5, 5), centre_mm=(10.0, -40.0, 300.0))
    transforms = {}
    for number in range(5):  # a loop: 6 mm left to right, 4 mm in depth, and stretched along z by up to 10 %
        angle = 2 * np.pi * number / 5
        moved = torch.eye(4, dtype=torch.float64)
        moved[:3, 3] = torch.tensor([3.0 * np.cos(angle), 2.0 * np.sin(angle), 0.0])
        moved[2, 2] += 0.05 * (1 - np.cos(angle))
        transforms[str(number)] = WorldTransform(torch.zeros(1, 3, 12, 12, 12), grid, moved @ grid)
    reference = MetaTensor(torch.zeros(1, *SHAPE), affine=affine)
    lungs = torch.zeros(SHAPE)
    lungs[2:5, 3:6, 1:4] = 1
    figures = write_amplitude(tmp_path, transforms, reference, lungs)
    points = voxel_centres_mm(SHAPE, affine).numpy()
    angles = 2 * np.pi * np.arange(5) / 5
    positions = np.stack(
        [
            points[:, 0] + 3.0 * np.cos(angles)[:, None],
            points[:, 1] + 2.0 * np.sin(angles)[:, None],
            points[:, 2] * (1 + 0.05 * (1 - np.cos(angles)))[:, None],
        ],
        axis=2,
    )
    between = np.linalg.norm(positions[:, None] - positions[None], axis=3).max(axis=(0, 1))
    for name, expected in zip(NAMES, [*np.ptp(positions, axis=0).T, between], strict=True):
        image = nib.load(tmp_path / f"amplitude_{name}.nii.gz")
        np.testing.assert_allclose(image.affine, affine, atol=1e-4)
        np.testing.assert_allclose(image.get_fdata().ravel(), expected, atol=STEP_MM / 2 + 1e-3)
        inside = expected.reshape(SHAPE)[lungs.numpy() > 0]
        assert figures[name]["mean_mm"] == pytest.approx(inside.mean(), abs=STEP_MM)
        assert figures[name]["max_mm"] == pytest.approx(inside.max(), abs=STEP_MM)


@pytest.mark.parametrize("largest_mm", [200.0, 300.0, 2500.0])
def test_amplitudes_beyond_the_range_of_the_fine_steps_are_stored_in_coarser_ones(
    largest_mm: float, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bundle.series.fields.slabs", lambda shape: [(row, row + 1) for row in range(shape[0])])
    affine = make_affine(SHAPE, (3.0, 2.0, 5.0))
    x_mm = voxel_centres_mm(SHAPE, affine)[:, 0]
    away = torch.eye(4, dtype=torch.float64)  # the displacement grows from slab to slab
    away[0, 0] += largest_mm / float(x_mm.max() - x_mm.min())
    away[0, 3] = -float(x_mm.min()) * (float(away[0, 0]) - 1.0)
    still = WorldTransform(torch.zeros(1, 3, *SHAPE), affine, affine)
    moved = WorldTransform(torch.zeros(1, 3, *SHAPE), affine, away @ affine)
    reference = MetaTensor(torch.zeros(1, *SHAPE), affine=affine)
    figures = write_amplitude(tmp_path, {"a": still, "b": moved}, reference, torch.ones(SHAPE))
    found = nib.load(tmp_path / "amplitude_lr.nii.gz").get_fdata().ravel()
    expected = (away[0, 0] - 1.0) * (x_mm - x_mm.min())
    np.testing.assert_allclose(found, expected, atol=max(STEP_MM, largest_mm / 2**14) + 1e-3)
    assert figures["lr"]["max_mm"] == pytest.approx(largest_mm, abs=0.1)


def test_the_picture_shows_the_motion_where_it_is(tmp_path: Path) -> None:
    shape = (40, 36, 30)
    maps = [torch.zeros(shape, dtype=torch.int16) for _ in NAMES]
    for stored in maps[2:]:
        stored[:, :, :15] = round(10.0 / STEP_MM)  # the lower half
    lungs = torch.zeros(shape)
    lungs[5:35, 5:30, 5:25] = 1
    reference = MetaTensor(torch.full((1, *shape), -800.0), affine=make_affine(shape, (3.0, 3.0, 4.0)))
    draw_amplitude(tmp_path / "amplitude.png", maps, STEP_MM, reference, lungs)
    pixels = np.asarray(Image.open(tmp_path / "amplitude.png").convert("RGB")).astype(int)
    yellow = (pixels[..., 0] - pixels[..., 2]) > 100  # the upper end of cividis
    columns = np.array_split(yellow[:, : int(0.85 * yellow.shape[1])], 5, axis=1)  # without the colour bar
    shares = [part.mean() for part in columns]
    assert min(shares[3:]) > 0.1
    assert max(shares[:3]) < 0.02
