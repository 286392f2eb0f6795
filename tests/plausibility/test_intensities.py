from __future__ import annotations

import pytest
import torch
from torch import Tensor

from bundle.plausibility import alike_in_window, find_intensities
from tests.chest import Chest, render


@pytest.fixture(scope="module")
def scan_hu() -> Tensor:
    """A chest with the noise of a CT."""
    scan = render(Chest()).as_tensor()
    return scan + 20 * torch.randn(scan.shape, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("offset_hu", [1000.0, 1024.0])
@pytest.mark.parametrize("lowest", [None, 0.0], ids=["with negative values", "clipped at 0"])
def test_an_offset_is_told_from_hu(scan_hu: Tensor, offset_hu: float, lowest: float | None) -> None:
    assert find_intensities(scan_hu).scale == "hu"
    stored = scan_hu + offset_hu
    found = find_intensities(stored if lowest is None else stored.clamp(lowest))
    assert (found.scale, found.offset_hu) == ("offset", offset_hu)
    assert found.air == pytest.approx(offset_hu - 1000, abs=16)
    assert found.tissue == pytest.approx(offset_hu + 40, abs=24)


@pytest.mark.parametrize("padding", [-1024.0, -2000.0, -3024.0, 0.0])
def test_padding_is_neither_air_nor_another_unit(scan_hu: Tensor, padding: float) -> None:
    padded = scan_hu.clone()
    padded[:, :10] = padding
    assert find_intensities(padded).scale == "hu"
    stored = scan_hu + 1024
    stored[:, :10] = padding
    assert find_intensities(stored).scale == "offset"


def test_a_mask_burnt_in_leaves_hu(scan_hu: Tensor) -> None:
    assert find_intensities(torch.where((scan_hu < -700) & (scan_hu > -950), scan_hu, 0.0)).scale == "hu"


@pytest.mark.parametrize(
    "rescale",
    [
        lambda hu: (hu + 1000).clamp(0, 2000) / 2000,
        lambda hu: ((hu.clamp(-1000, 400) + 1000) / 1400 * 255).round(),
        lambda hu: (hu - hu.mean()) / hu.std(),
        lambda hu: (hu + 1000).clamp(0, 1400) * 3,
    ],
    ids=["0..1", "0..255", "z scores", "0..4200"],
)
def test_other_ranges_are_no_hu(scan_hu: Tensor, rescale: object) -> None:
    assert callable(rescale)
    found = find_intensities(rescale(scan_hu))
    assert found.scale == "other"
    assert found.found.startswith("values from ")


@pytest.mark.parametrize("slope", [-1.0, 0.5, 2.0, 10.0])
def test_hu_times_a_factor_are_doubtful(scan_hu: Tensor, slope: float) -> None:
    assert find_intensities(scan_hu * slope).scale == "doubtful"


def test_metal_is_not_doubtful(scan_hu: Tensor) -> None:
    metal = scan_hu.clone()
    metal[:, 22:26, 20:24] = 3071
    assert find_intensities(metal).scale == "hu"


def test_the_share_of_voxels_that_look_alike_ignores_padding() -> None:
    scan = torch.full((1, 10, 10, 20), -2000.0)
    scan[..., :10] = torch.linspace(0, 100, 1000).reshape(1, 10, 10, 10)
    scan[..., :2] = -500
    assert alike_in_window(scan, -1000, 0) == pytest.approx(0.8)


def test_an_mr_is_no_hu_and_no_offset() -> None:
    generator = torch.Generator().manual_seed(0)
    tissues = torch.tensor([10.0, 300.0, 600.0, 850.0, 1050.0])[torch.randint(5, (1, 20, 22, 24), generator=generator)]
    noisy = (tissues + 60 * torch.randn(tissues.shape, generator=generator)).abs()
    assert find_intensities(noisy).scale == "other"


def test_tissue_without_air_may_be_hu() -> None:
    tissue = 40 + 60 * torch.randn((1, 20, 22, 24), generator=torch.Generator().manual_seed(0))
    assert find_intensities(tissue).scale == "unclear"


def test_a_constant_image_is_told_too() -> None:
    assert find_intensities(torch.zeros(1, 4, 5, 6)).scale == "other"
