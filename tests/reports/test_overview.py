from __future__ import annotations

from pathlib import Path

import matplotlib.image
import numpy as np
import pytest
import torch
from monai.data import MetaTensor

from bundle.geometry import WorldTransform
from bundle.reports import draw_overview
from bundle.reports.overview import overlay
from tests.reports.conftest import CANONICAL_SHAPE, Store

AIR_HU, TISSUE_HU = -1000.0, 200.0
GRID = torch.eye(4, dtype=torch.float64)
IDENTITY = WorldTransform(torch.zeros(1, 3, 2, 2, 2), GRID, GRID)


def colour_share(picture: np.ndarray, colour: tuple[float, float, float]) -> np.ndarray:
    return (np.abs(picture[..., :3] - np.array(colour)).max(axis=-1) < 0.2).astype(float)


def centre_of(share: np.ndarray) -> tuple[float, float]:
    rows, columns = np.nonzero(share)
    return rows.mean() / share.shape[0], columns.mean() / share.shape[1]


def test_agreement_is_grey_and_each_scan_alone_has_its_colour() -> None:
    fixed, moving = np.array([[1.0, 0.0, 0.6]]), np.array([[0.0, 1.0, 0.6]])
    np.testing.assert_array_equal(overlay(fixed, moving)[0], [[0, 1, 0], [1, 0, 1], [0.6, 0.6, 0.6]])


@pytest.mark.parametrize("codes", ["RAS", "LPS", "SRP"])
def test_fixed_is_green_moving_magenta_and_the_patients_right_is_on_the_left(
    codes: str, stored_as: Store, tmp_path: Path
) -> None:
    right, left = np.full(CANONICAL_SHAPE, AIR_HU), np.full(CANONICAL_SHAPE, AIR_HU)
    right[14:, :, :], left[:6, :, :] = TISSUE_HU, TISSUE_HU
    fixed, affine = stored_as(right, codes)
    moving, _ = stored_as(left, codes)
    path = tmp_path / "overview.png"
    draw_overview(
        path,
        fixed=MetaTensor(fixed[None], affine=affine),
        moving=MetaTensor(moving[None], affine=affine),
        warped=MetaTensor(fixed[None], affine=affine),
        transform=IDENTITY,
    )
    picture = matplotlib.image.imread(path)
    before, after = picture[:, : picture.shape[1] // 3], picture[:, picture.shape[1] // 3 : picture.shape[1] * 3 // 5]
    green, magenta = colour_share(before, (0, 1, 0)), colour_share(before, (1, 0, 1))
    assert green.sum() > 1000
    assert centre_of(green)[1] < 0.5 < centre_of(magenta)[1]
    assert colour_share(after, (0, 1, 0)).sum() == colour_share(after, (1, 0, 1)).sum() == 0


def test_a_volume_off_the_fixed_grid_is_named(tmp_path: Path) -> None:
    scan = MetaTensor(torch.zeros(1, 6, 7, 8), affine=torch.eye(4))
    with pytest.raises(ValueError, match=r"warped: expected shape \(6, 7, 8\) on the fixed grid, got \(7, 8, 6\)"):
        draw_overview(
            tmp_path / "overview.png", fixed=scan, moving=scan, warped=scan.permute(0, 2, 3, 1), transform=IDENTITY
        )
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_a_clinical_scan_is_drawn_into_a_small_file(tmp_path: Path) -> None:
    shape = (512, 512, 120)
    generator = torch.Generator().manual_seed(0)
    scan = torch.randn(shape, generator=generator) * 40 - 850  # noise: the worst case for PNG
    mask = torch.zeros(shape, dtype=torch.uint8)
    mask[100:400, 100:400, 20:100] = 1
    affine = torch.diag(torch.tensor([0.7, 0.7, 2.5, 1.0]))
    draw_overview(
        tmp_path / "overview.png",
        fixed=MetaTensor(scan[None], affine=affine),
        moving=MetaTensor(scan.flip(0)[None], affine=affine),
        warped=MetaTensor(scan[None], affine=affine),
        transform=WorldTransform(torch.randn(1, 3, 16, 16, 16, generator=generator), GRID, GRID),
        mask=mask,
        title="case",
    )
    assert (tmp_path / "overview.png").stat().st_size < 1_500_000
