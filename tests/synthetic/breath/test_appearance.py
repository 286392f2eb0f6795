from __future__ import annotations

import numpy as np
import pytest
import torch
from monai.data import MetaTensor
from torch import Tensor

from bundle.synthetic.breath.acquisition import Appearance
from bundle.synthetic.breath.appearance import blood_of, change_lungs, change_scan, heart_share
from tests.grids import make_affine

SHAPE, STEP_MM = (24, 26, 22), np.array([2.0, 1.5, 2.5])
NOTHING: dict[str, object] = {
    "calibre_mm": 0.0,
    "vessel_contrast": 0.0,
    "blood_hu": 40.0,
    "density": 0.0,
    "gradient_per_100mm": (0.0, 0.0, 0.0),
    "texture_hu": 0.0,
    "texture_mm": 2.0,
}
PARENCHYMA, VESSEL, WALL = -850.0, 40.0, 55.0


def lung() -> tuple[Tensor, Tensor]:
    """HU and lungs: parenchyma with one vessel along the second axis, in a wall."""
    hu, lungs = torch.full(SHAPE, WALL), torch.zeros(SHAPE)
    inner = (slice(3, 21), slice(3, 23), slice(3, 19))
    lungs[inner], hu[inner] = 1.0, PARENCHYMA
    hu[10:13, 3:23, 10:13] = VESSEL
    return hu, lungs


def changed(seed: int = 0, **changes: object) -> Tensor:
    appearance = Appearance(**NOTHING | changes)  # type: ignore[arg-type]
    return change_lungs(*lung(), appearance, STEP_MM, np.random.RandomState(seed))


def test_nothing_changes_nothing() -> None:
    torch.testing.assert_close(changed(), lung()[0])


@pytest.mark.parametrize(
    "changes",
    [
        {"calibre_mm": 0.9},
        {"calibre_mm": -0.9},
        {"vessel_contrast": 0.3},
        {"blood_hu": 300.0},
        {"density": 0.5},
        {"gradient_per_100mm": (0.0, 0.4, 0.0)},
        {"texture_hu": 40.0},
    ],
    ids=str,
)
def test_what_surrounds_the_lungs_keeps_its_value(changes: dict[str, object]) -> None:
    hu, lungs = lung()
    seen = changed(**changes)
    assert torch.equal(seen[lungs == 0], hu[lungs == 0])
    assert not torch.equal(seen[lungs > 0], hu[lungs > 0])


def test_vessels_keep_their_level_under_density_and_parenchyma_scales() -> None:
    seen = changed(density=0.5)
    assert float(seen[11, 12, 11]) == pytest.approx(VESSEL)
    assert float(seen[5, 5, 5]) == pytest.approx(-1000 + 1.5 * (PARENCHYMA + 1000))


def test_gravity_is_linear_in_millimetres() -> None:
    seen = changed(gradient_per_100mm=(0.0, -0.4, 0.0))[5, 3:23, 5]
    expected = 1.0 - 0.4 * (np.arange(3, 23) - 12.5) * 1.5 / 100
    np.testing.assert_allclose((seen.numpy() + 1000) / (PARENCHYMA + 1000), expected, rtol=1e-5)


def test_the_agent_adds_its_share_to_every_vessel() -> None:
    seen = changed(blood_hu=340.0)
    assert float(seen[11, 12, 11]) == pytest.approx(340.0)
    assert float(seen[5, 5, 5]) == pytest.approx(PARENCHYMA), "below the level of vessels"
    half = change_lungs(
        torch.full(SHAPE, -380.0), torch.ones(SHAPE), Appearance(**NOTHING | {"blood_hu": 340.0}),  # type: ignore[arg-type]
        STEP_MM, np.random.RandomState(0),
    )  # fmt: skip
    assert float(half[5, 5, 5]) == pytest.approx(-380.0 + 300.0 / 2), "half a voxel of vessel"


def test_contrast_scales_the_vessels_above_the_parenchyma() -> None:
    assert float(changed(vessel_contrast=0.2)[11, 12, 11]) == pytest.approx(-800 + 1.2 * 840)


@pytest.mark.parametrize(("calibre_mm", "sign"), [(0.6, 1), (-0.6, -1)])
def test_calibre_moves_the_surface_of_vessels_by_a_part_of_a_voxel(calibre_mm: float, sign: int) -> None:
    seen = changed(calibre_mm=calibre_mm)
    across = seen[8:15, 12, 11]  # the vessel fills 10 to 12
    share = 0.6 / 2.0
    at_border = PARENCHYMA + share * (VESSEL - PARENCHYMA) if sign > 0 else VESSEL + share * (PARENCHYMA - VESSEL)
    border = 1 if sign > 0 else 2
    assert float(across[border]) == pytest.approx(at_border)
    assert float(across[3]) == pytest.approx(VESSEL)
    assert float(across[0]) == pytest.approx(PARENCHYMA)
    assert float(seen[3, 12, 5]) == pytest.approx(PARENCHYMA), "the wall does not grow into the lung"


def test_texture_has_its_size_and_correlation_and_is_its_own_for_each_seed() -> None:
    hu, lungs = torch.full((40, 44, 36), PARENCHYMA), torch.ones(40, 44, 36)
    appearance = Appearance(**NOTHING | {"texture_hu": 30.0, "texture_mm": 2.5})  # type: ignore[arg-type]
    first, again, other = (
        change_lungs(hu, lungs, appearance, STEP_MM, np.random.RandomState(seed)) - hu for seed in (0, 0, 1)
    )
    assert float(first.std()) == pytest.approx(30.0, rel=1e-3)
    torch.testing.assert_close(first, again)
    assert abs(float((first * other).mean())) < 0.1 * 30.0**2
    for axis, step in enumerate(STEP_MM):  # a smoothed white noise is correlated by exp(-d^2 / 4 sigma^2)
        ahead = first.narrow(axis, 1, first.shape[axis] - 1)
        correlation = float((ahead * first.narrow(axis, 0, first.shape[axis] - 1)).mean() / first.square().mean())
        assert correlation == pytest.approx(np.exp(-((step / 5.0) ** 2)), abs=0.04)


def chest() -> tuple[MetaTensor, MetaTensor]:
    """Two lungs, blood of 300 HU in front between them and a spine of 250 HU behind."""
    shape = (40, 30, 20)
    hu, lungs = torch.full(shape, 50.0), torch.zeros(shape)
    for side in (slice(3, 13), slice(27, 37)):
        lungs[side, 3:27, 3:17], hu[side, 3:27, 3:17] = 1.0, PARENCHYMA
    hu[15:25, 16:26, 3:17] = 300.0
    hu[15:25, 3:8, 3:17] = 250.0
    affine = make_affine(shape, (4.0, 5.0, 5.0))
    return MetaTensor(hu[None], affine=affine), MetaTensor(lungs[None].to(torch.uint8), affine=affine)


def test_blood_between_the_lungs_loses_its_agent_and_the_spine_keeps_its_density() -> None:
    scan, mask = chest()
    assert blood_of(scan[0].as_tensor(), heart_share(mask[0].as_tensor().float(), 5.0)) == pytest.approx(300.0)
    appearance = Appearance(**NOTHING | {"blood_hu": 45.0})  # type: ignore[arg-type]
    seen = change_scan(scan, mask, appearance, np.random.RandomState(0))[0].as_tensor()
    assert float(seen[20, 24, 10]) == pytest.approx(45.0, abs=5.0)
    assert float(seen[20, 4, 10]) == pytest.approx(250.0, abs=5.0)
    assert float(seen[5, 10, 10]) == pytest.approx(PARENCHYMA)
    assert float(seen[1, 24, 10]) == 50.0, "not between the lungs"


def test_blood_without_voxels_between_the_lungs_is_plain() -> None:
    assert blood_of(torch.zeros(4, 5, 6), torch.zeros(4, 5, 6)) == 40.0
