from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from monai.data import MetaTensor
from monai.transforms import Orientation

from bundle.geometry import spacing_mm
from bundle.io import read_image
from bundle.lung import find_lungs
from tests.chest import Chest, dice, render
from tests.lung.scans import (
    LEFT,
    RIGHT,
    Case,
    bowel_gas,
    bullae,
    burnt_in,
    circle,
    cone_beam,
    cut,
    effusion,
    emphysema,
    found,
    noise_hu,
    overlaps,
    phantom,
    scaled,
    thick_slices,
    tilted,
    white_lung,
)

DATA = Path(__file__).parents[3] / "shared" / "data"
NO_DATA = "needs real scans in ../shared/data: padded and cut scans of real chests stay unchecked"
MIN_DICE = 0.96
MIN_REMNANT_DICE = 0.9  # 5 cm of lung are 12 voxels: a voxel of surface is half of them
EMPTY_HU = [-1024.0, 0.0, -2000.0, -3024.0]
REAL = ["ct/lidc_0001_1.5mm.nii.gz", "ct/4dlung_113_1.5mm.nii.gz", "ct/cta_1.5mm.nii.gz", "ct/cip_ct64.nrrd"]
SIDES = pytest.mark.parametrize("side", [RIGHT, LEFT], ids=["right", "left"])


def cut_through_the_trachea(case: Case, share: float = 0.8) -> Case:
    """Without the slices above a share of the lungs' height."""
    low, high = case.ends(2)
    return case.crop(2, 0, round(low + share * (high - low)))


def one_side(case: Case, side: int, gap_vox: int = 0) -> Case:
    """A narrow field of view that ends at the middle between the lungs, or some voxels nearer to the lung."""
    middle = (case.ends(0, LEFT)[1] + case.ends(0, RIGHT)[0]) // 2
    width = case.scan.shape[1]
    low, high = (middle + gap_vox, width) if side == RIGHT else (0, middle - gap_vox)
    return case.crop(0, low, high)


SITUATIONS: dict[str, Callable[[Case], Case]] = {
    "as it is": lambda case: case,
    **{f"slices of {hu:.0f}": lambda case, hu=hu: case.pad(2, 4, 6, hu) for hu in EMPTY_HU},
    **{f"cut trachea, {hu:.0f}": lambda case, hu=hu: cut_through_the_trachea(case).pad(2, 2, 5, hu) for hu in EMPTY_HU},
    "one empty slice": lambda case: case.pad(2, 0, 1, -1024.0),
    "mid-trachea": cut_through_the_trachea,
    "mid-lung": lambda case: cut_through_the_trachea(case, 0.6).pad(2, 0, 3, -1024.0),
    "apices": lambda case: case.crop(2, sum(case.ends(2)) // 2, case.scan.shape[3]),
    "bullae": bullae,
    "severe emphysema": emphysema,
    "emphysema in an open scan": lambda case: emphysema(case).pad(2, 3, 3, -1024.0),
    "bowel gas": bowel_gas,
    "cone beam": cone_beam,
    "15 mm below": lambda case: case.pad(0, 3, 3, -3024.0).pad(1, 5, 2, -3024.0),
    **{f"circle of {hu:.0f}": lambda case, hu=hu: circle(case, 0.85, hu) for hu in EMPTY_HU},
    **{
        f"burnt in {hu:.0f}, margin {margin}": lambda case, hu=hu, margin=margin: burnt_in(case, hu, margin)
        for hu in (-1024.0, 0.0)
        for margin in (0, 2)
    },
    "10 mm slices": lambda case: thick_slices(case, 2),
    "oblique": tilted,
    "noise of 100 HU": lambda case: case.change(case.scan.as_tensor() + noise_hu(case, 100)),
    "clipped noise": lambda case: case.change((case.scan.as_tensor() + noise_hu(case, 100)).clamp_min(-1024)),
    **{
        f"{name} cut": lambda case, axis=axis, end=end: cut(case, axis, end, 0.25)
        for axis, names in enumerate((("left", "right"), ("back", "front"), ("bases", "tops")))
        for end, name in enumerate(names)
    },
    "emphysema, open trachea, circle, empty slices": lambda case: circle(
        cut_through_the_trachea(emphysema(case)), 0.85, -3024.0
    ).pad(2, 2, 3, -3024.0),
    "bullae, effusion, open trachea": lambda case: effusion(bullae(cut_through_the_trachea(case)), RIGHT),
    "bases with bowel gas": lambda case: (gas := bowel_gas(case)).crop(2, 0, sum(gas.ends(2)) // 2),
    "emphysema with bowel gas": lambda case: bowel_gas(emphysema(case)),
    "cone beam of a child, open trachea": lambda case: scaled(cone_beam(cut_through_the_trachea(case)), 0.5),
    "mouse with bullae": lambda case: scaled(bullae(case), 0.1),
    "burnt in -2000": lambda case: burnt_in(case, -2000.0, 0),
    "both lungs collapsed": lambda case: white_lung(white_lung(case, RIGHT, 0.3), LEFT, 0.3),
}


@pytest.mark.parametrize("situation", SITUATIONS)
@pytest.mark.parametrize("exhale", [False, True], ids=["inhale", "exhale"])
def test_both_lungs_are_found_and_told_apart(situation: str, exhale: bool) -> None:
    measured = overlaps(SITUATIONS[situation](phantom(4 if exhale else 5, exhale=exhale)))
    assert set(measured) == {"lungs", "right", "left"}
    assert min(measured.values()) >= MIN_DICE, measured


@pytest.mark.parametrize("seed", range(1, 4))
@pytest.mark.parametrize("factor", [1.0, 0.6, 0.3, 0.08], ids=["adult", "child", "rabbit", "mouse"])
def test_chests_of_any_size_give_the_same_voxels(seed: int, factor: float) -> None:
    case = scaled(phantom(seed), factor)
    labels = found(case)
    assert min(overlaps(case).values()) >= MIN_DICE
    voxel_ml = float(spacing_mm(case.scan.affine).prod()) / 1000
    truth_ml = factor**3 * float((phantom(seed).lungs > 0).sum()) * 0.08  # 4 x 4 x 5 mm, a few per cent less at exhale
    assert voxel_ml * float((labels > 0).sum()) == pytest.approx(truth_ml, rel=0.04)


def test_a_child_in_a_large_field_of_view_is_found() -> None:
    case = scaled(phantom(5), 0.35)
    for axis in (0, 1):
        case = case.pad(axis, 40, 40, 0.0)
        hu = case.scan.as_tensor()
        room = -1000 + 10 * torch.randn(hu.shape, generator=torch.Generator().manual_seed(1))
        case = case.change(torch.where((hu == 0) & (case.lungs == 0).as_tensor(), room, hu))
    assert min(overlaps(case).values()) >= MIN_DICE


@pytest.mark.parametrize("exhale", [False, True], ids=["inhale", "exhale"])
@pytest.mark.parametrize("situation", ["as it is", "cut trachea, 0", "bullae", "cone beam"])
def test_fine_pixels_and_thick_slices_are_no_harder(situation: str, exhale: bool) -> None:
    case = phantom(3, exhale=exhale, spacing_mm=(1.2, 1.2, 5.0))
    measured = overlaps(SITUATIONS[situation](case))
    assert min(measured.values()) >= MIN_DICE, measured


@SIDES
@pytest.mark.parametrize("gap_vox", [0, 2], ids=["open bronchus", "beside the mediastinum"])
@pytest.mark.parametrize("padding", [0, 4], ids=["as it is", "padded"])
def test_a_narrow_field_of_view_holds_one_lung_of_the_right_name(side: int, gap_vox: int, padding: int) -> None:
    case = one_side(phantom(5, exhale=True), side, gap_vox).pad(0, padding, padding, -1024.0)
    measured = overlaps(case)
    assert set(measured) == {"lungs", "right" if side == RIGHT else "left"}
    assert min(measured.values()) >= MIN_DICE, measured


@SIDES
@pytest.mark.parametrize("exhale", [False, True], ids=["inhale", "exhale"])
def test_the_lung_that_is_left_beside_a_white_one_keeps_its_name(side: int, exhale: bool) -> None:
    measured = overlaps(white_lung(phantom(5, exhale=exhale), side))
    assert set(measured) == {"lungs", "left" if side == RIGHT else "right"}
    assert min(measured.values()) >= MIN_DICE, measured


@SIDES
@pytest.mark.parametrize("share", [0.2, 0.1])
def test_a_collapsed_lung_is_not_dropped(side: int, share: float) -> None:
    measured = overlaps(white_lung(phantom(5), side, share))
    small, large = ("right", "left") if side == RIGHT else ("left", "right")
    assert measured["lungs"] >= MIN_DICE
    assert measured[large] >= MIN_DICE
    assert measured[small] >= MIN_REMNANT_DICE


@SIDES
def test_fluid_is_no_lung(side: int) -> None:
    measured = overlaps(effusion(phantom(5), side))
    assert min(measured.values()) >= MIN_DICE, measured


def test_the_trachea_is_no_lung() -> None:
    case = phantom(5)
    labels, truth = found(case), case.lungs.as_tensor()
    _, top = case.ends(2)
    assert (case.scan[..., top + 2 :] < -900).sum() > 50  # its lumen
    assert not labels[..., top + 2 :].any()
    assert float(((labels > 0) & (truth == 0)).sum()) < 0.03 * float((truth > 0).sum())


@pytest.mark.parametrize("axcodes", ["LPS", "SAR", "PIL"])
def test_names_and_voxels_do_not_depend_on_the_storage(axcodes: str) -> None:
    case = phantom(2)
    stored = find_lungs(Orientation(axcodes=axcodes, labels=None)(case.scan))
    assert stored is not None
    turned = Orientation(axcodes="RAS", labels=None)(stored)
    torch.testing.assert_close(turned.as_tensor(), found(case))


def test_arms_beside_the_body_and_the_table_are_no_lungs() -> None:
    scan = render(Chest(table=True, foam=True))
    hu = scan.as_tensor()
    x, y = (torch.arange(size) for size in hu.shape[1:3])
    arms = torch.zeros_like(hu, dtype=torch.bool)
    for centre in (0, hu.shape[1] - 1):
        arms |= ((((x[:, None] - centre) * 4.5) ** 2 + ((y - 20) * 4.0) ** 2) < 12.0**2)[None, :, :, None]
    with_arms = MetaTensor(torch.where(arms, 50.0, hu), affine=scan.affine)
    labels, alone = find_lungs(with_arms), find_lungs(scan)
    assert labels is not None
    assert alone is not None
    torch.testing.assert_close(labels.as_tensor(), alone.as_tensor())


def test_a_scan_of_one_value_has_no_lungs() -> None:
    for value in (-1000.0, 0.0):
        assert find_lungs(MetaTensor(torch.full((1, 12, 13, 14), value), affine=torch.eye(4))) is None


# On real scans


def real(name: str) -> Case:
    """A real scan in RAS order with the lungs that are found."""
    scan = Orientation(axcodes="RAS", labels=None)(read_image(DATA / name))
    lungs = find_lungs(scan)
    assert lungs is not None
    return Case(scan, lungs)


@pytest.mark.slow
@pytest.mark.skipif(not DATA.is_dir(), reason=NO_DATA)
@pytest.mark.parametrize("key", ["fixed", "moving"])
def test_the_lung_of_a_real_patient_is_the_right_one_an_expert_drew(key: str) -> None:
    labels = find_lungs(read_image(DATA / "followup_pair" / f"{key}.mha"))
    assert labels is not None
    assert dice(labels == RIGHT, read_image(DATA / "followup_pair" / f"{key}_mask.mha")) >= 0.97
    assert not (labels == LEFT).any()


@pytest.mark.slow
@pytest.mark.skipif(not DATA.is_dir(), reason=NO_DATA)
@pytest.mark.parametrize("name", REAL)
def test_padding_and_cutting_change_no_real_lung(name: str) -> None:
    whole = real(name)
    for hu in EMPTY_HU:
        torch.testing.assert_close(found(whole.pad(2, 5, 7, hu)), whole.pad(2, 5, 7, hu).lungs.as_tensor())
    for share in (0.85, 0.7, 0.55):
        cut = cut_through_the_trachea(whole, share).pad(2, 0, 4, -1024.0)
        assert min(overlaps(cut).values()) >= 0.99
    narrow = circle(whole, 0.8, -3024.0)
    assert min(overlaps(narrow).values()) >= 0.99


@pytest.mark.slow
@pytest.mark.skipif(not DATA.is_dir(), reason=NO_DATA)
@pytest.mark.parametrize("name", REAL)
@SIDES
def test_one_real_lung_keeps_its_name(name: str, side: int) -> None:
    whole = real(name)
    columns = [np.nonzero((whole.lungs[0] == label).numpy())[0] for label in (RIGHT, LEFT)]
    middle = int(np.percentile(columns[0], 1) + np.percentile(columns[1], 99)) // 2
    half = whole.crop(0, middle, whole.scan.shape[1]) if side == RIGHT else whole.crop(0, 0, middle)
    labels = found(half)
    assert dice(labels == side, half.lungs == side) >= 0.98
    assert not (labels == 3 - side).any() or float((labels == 3 - side).sum()) < 0.02 * float((labels == side).sum())
    white = white_lung(whole, 3 - side)
    assert dice(found(white) == side, white.lungs == side) >= 0.98
