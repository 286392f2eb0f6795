from __future__ import annotations

import logging
from pathlib import Path

import pytest
import torch
from monai.data import MetaTensor
from monai.transforms import Orientation

from bundle.io import read_image
from bundle.lung import LungRegiond, find_lungs
from tests.chest import SHAPE, SPACING_MM, Chest, dice, lungs_of, render
from tests.grids import make_affine, voxel_centres_mm

DATA = Path(__file__).parents[3] / "shared" / "data"
NO_DATA = "needs real scans in ../shared/data: lung volumes and overlap with expert masks stay unchecked"
PADDING_HU = -2048.0
# At 4 to 5 mm a surface voxel more or less is 3 %; the mask holds the bronchi and, above the lungs, the trachea.
MIN_DICE = 0.92


def found(scan: MetaTensor) -> MetaTensor:
    mask = find_lungs(scan)
    assert mask is not None
    assert mask.shape == scan.shape
    assert mask.dtype == torch.uint8
    torch.testing.assert_close(mask.affine, scan.affine)
    return mask


def crop_to_circle(scan: MetaTensor, radius_mm: float) -> MetaTensor:
    """A scan with the padding of a narrow field of view."""
    x, y, _ = voxel_centres_mm(SHAPE, scan.affine).T.reshape(3, 1, *SHAPE)
    return MetaTensor(torch.where(x**2 + y**2 > radius_mm**2, PADDING_HU, scan.as_tensor()), affine=scan.affine)


def scan_part(chest: Chest, low_mm: tuple[float, float, float], high_mm: tuple[float, float, float]) -> MetaTensor:
    """A scan cropped to a box."""
    sides = [round((high - low) / step) for low, high, step in zip(low_mm, high_mm, SPACING_MM, strict=True)]
    shape = (sides[0], sides[1], sides[2])
    middle = tuple((low + high) / 2 for low, high in zip(low_mm, high_mm, strict=True))
    return render(chest, shape, make_affine(shape, SPACING_MM, centre_mm=(middle[0], middle[1], middle[2])))


@pytest.mark.parametrize("sides", [("right", "left"), ("right",), ("left",)], ids=["both", "right", "left"])
@pytest.mark.parametrize("table", [True, False], ids=["table", "no table"])
@pytest.mark.parametrize("gas", [True, False], ids=["bowel gas", "no gas"])
def test_lungs_are_found_and_nothing_else(sides: tuple[str, ...], table: bool, gas: bool) -> None:
    chest = Chest(sides=sides, table=table, bowel_gas=gas)
    scan = render(chest)
    assert dice(found(scan), lungs_of(chest, scan)) > MIN_DICE


@pytest.mark.parametrize("foam", [True, False], ids=["foam", "air"])
@pytest.mark.parametrize("sides", [("right", "left"), ("left",)], ids=["both", "left"])
@pytest.mark.parametrize("radius_mm", [108.0, 90.0, 80.0])
def test_a_circular_field_of_view_cuts_off_no_pocket_that_reads_as_lung(
    radius_mm: float, sides: tuple[str, ...], foam: bool
) -> None:
    chest = Chest(sides=sides, foam=foam)
    scan = render(chest)
    truth = lungs_of(chest, scan)
    scan = crop_to_circle(scan, radius_mm)
    mask = found(scan)
    assert dice(mask, truth * (scan > PADDING_HU)) > MIN_DICE
    assert not (mask * (scan == PADDING_HU)).any()


@pytest.mark.parametrize(
    ("low_mm", "high_mm"),
    [
        ((-108, -88, -50), (108, 88, 30)),
        ((-108, -88, -100), (108, 88, 0)),
        ((-108, -88, 0), (108, 88, 105)),
        ((-80, -88, -105), (80, 88, 105)),
        ((-60, -88, -105), (60, 88, 105)),
        ((0, -88, -105), (100, 88, 105)),
        ((-108, -30, -105), (108, 40, 105)),
        ((0, -52, -85), (90, 60, 85)),
    ],
    ids=["middle", "bases", "apices", "sides cut", "sides cut deep", "right half", "front and back cut", "right lung"],
)
def test_lungs_cut_by_the_field_of_view_are_found(
    low_mm: tuple[float, float, float], high_mm: tuple[float, float, float]
) -> None:
    chest = Chest(foam=True)
    scan = scan_part(chest, low_mm, high_mm)
    assert dice(found(scan), lungs_of(chest, scan)) > MIN_DICE


@pytest.mark.parametrize("axcodes", ["LPS", "SAR", "PIL"])
def test_storage_does_not_change_the_mask(axcodes: str) -> None:
    scan = render(Chest())
    stored = Orientation(axcodes=axcodes, labels=None)(scan)
    mask = Orientation(axcodes="RAS", labels=None)(found(stored))
    torch.testing.assert_close(mask.as_tensor(), found(scan).as_tensor())


def test_an_oblique_scan_far_from_the_origin_is_no_harder() -> None:
    affine = make_affine(SHAPE, SPACING_MM, angles_deg=(12, -10, 20), centre_mm=(40, -90, -1300))
    to_chest = torch.eye(4, dtype=torch.float64)
    to_chest[:3, 3] = torch.tensor([-40.0, 90.0, 1300.0])
    scan = render(Chest(), affine=affine, to_chest=to_chest)
    assert dice(found(scan), lungs_of(Chest(), scan, to_chest=to_chest)) > MIN_DICE


def test_noise_and_emphysema_are_no_harder() -> None:
    scan = render(Chest())
    truth = lungs_of(Chest(), scan)
    empty = torch.where((truth > 0) & (scan < -800), scan.as_tensor() - 100, scan.as_tensor())  # down to -950 HU
    noise = 60 * torch.randn(empty.shape, generator=torch.Generator().manual_seed(0))
    assert dice(found(MetaTensor(empty + noise, affine=scan.affine)), truth) > MIN_DICE


def test_nothing_is_found_where_no_lung_is() -> None:
    assert find_lungs(render(Chest(sides=(), trachea=False, bowel_gas=True))) is None
    scan = render(Chest())
    magnetic = MetaTensor((scan.as_tensor() + 1000) * 0.4, affine=scan.affine)  # air is 0, nothing is negative
    assert find_lungs(magnetic) is None


# In a pair


def test_masks_are_added_to_scans_without() -> None:
    scan = render(Chest())
    pair = LungRegiond(["fixed", "moving"])({"fixed": scan, "moving": crop_to_circle(scan, 70.0)})
    assert pair["fixed_lungs_found"]
    assert pair["moving_lungs_found"]
    torch.testing.assert_close(pair["fixed_mask"].as_tensor(), (found(scan) > 0).to(torch.uint8).as_tensor())
    assert (pair["fixed_mask"] != pair["moving_mask"]).any()


def test_the_sides_of_the_lungs_are_known_where_they_are_found_and_within_masks_of_the_user() -> None:
    scan = render(Chest())
    lungs = found(scan)
    pair = LungRegiond(["fixed", "moving"])({"fixed": scan, "moving": scan})
    torch.testing.assert_close(pair["moving_lungs"].as_tensor(), lungs.as_tensor())
    left = MetaTensor(2 * lungs_of(Chest(sides=("left",)), scan), affine=scan.affine)
    pair = LungRegiond(["fixed", "moving"])({"fixed": scan, "moving": scan, "fixed_mask": left})
    torch.testing.assert_close(pair["fixed_lungs"].as_tensor(), (lungs * (left > 0)).as_tensor())
    assert pair["fixed_lungs"].unique().tolist() == [0, 2]
    heart = MetaTensor(torch.zeros_like(lungs.as_tensor()), affine=scan.affine)
    heart[:, 22:26, 18:26, 16:30] = 1
    pair = LungRegiond(["fixed", "moving"])({"fixed": scan, "moving": scan, "fixed_mask": heart})
    assert not {"fixed_lungs", "moving_lungs"} & set(pair)


def test_the_users_mask_is_kept_whatever_its_labels() -> None:
    scan = render(Chest())
    labels = torch.zeros(1, *SHAPE)
    labels[:, 4:9, 5:7, 8:20], labels[:, 20:25, 5:7, 8:20] = 1, 37
    pair = LungRegiond("fixed")({"fixed": scan, "fixed_mask": MetaTensor(labels, affine=scan.affine)})
    assert pair["fixed_lungs_found"]
    assert pair["fixed_mask"].dtype == torch.uint8
    torch.testing.assert_close(pair["fixed_mask"].as_tensor(), (labels > 0).to(torch.uint8))
    torch.testing.assert_close(pair["fixed_mask"].affine, scan.affine)


def test_an_empty_mask_of_the_user_is_an_error_that_names_its_file() -> None:
    scan = render(Chest())
    mask = MetaTensor(torch.zeros_like(scan.as_tensor()), affine=scan.affine, meta={"filename_or_obj": "lung.nrrd"})
    with pytest.raises(ValueError, match=r"lung\.nrrd: the mask holds no voxel above 0"):
        LungRegiond("moving")({"moving": scan, "moving_mask": mask})


def test_where_no_lung_is_found_the_whole_image_is_used_with_a_warning(caplog: pytest.LogCaptureFixture) -> None:
    magnetic = MetaTensor(torch.rand(1, 12, 13, 14) * 400, affine=torch.diag(torch.tensor([5.0, 6.0, 7.0, 1.0])))
    with caplog.at_level(logging.WARNING):
        pair = LungRegiond(["fixed"])({"name": "knee", "fixed": magnetic})
    assert caplog.messages == ["knee: no lung found in the scan (fixed), the whole image is used on a coarser grid"]
    assert pair["fixed_mask"].all()
    assert pair["fixed_mask"].shape == magnetic.shape
    assert not pair["fixed_lungs_found"]


def test_two_scans_without_lungs_give_one_warning(caplog: pytest.LogCaptureFixture) -> None:
    magnetic = MetaTensor(torch.rand(1, 12, 13, 14) * 400, affine=torch.diag(torch.tensor([5.0, 6.0, 7.0, 1.0])))
    with caplog.at_level(logging.WARNING):
        pair = LungRegiond(["fixed", "moving"])({"name": "knee", "fixed": magnetic, "moving": magnetic})
    assert len(caplog.messages) == 1
    assert "knee: no lung found in the scan (fixed, moving)" in caplog.text
    assert pair["moving_mask"].all()


@pytest.mark.parametrize("given", [False, True], ids=["found", "given"])
def test_lungs_in_one_scan_only_are_an_error_with_a_hint(given: bool) -> None:
    scan = render(Chest())
    raw = MetaTensor(scan.as_tensor() + 1024, affine=scan.affine, meta={"filename_or_obj": "raw.nrrd"})
    pair = {"fixed": scan, "moving": raw}
    if given:
        pair["fixed_mask"] = lungs_of(Chest(), scan)
    source = "has a mask" if given else "has lungs"
    text = rf"raw\.nrrd: no lung found \(values .* 0 % below -400 HU\), but fixed {source}: pass --moving_mask"
    with pytest.raises(ValueError, match=text):
        LungRegiond(["fixed", "moving"])(pair)


# On real scans


@pytest.mark.slow
@pytest.mark.skipif(not DATA.is_dir(), reason=NO_DATA)
@pytest.mark.parametrize("key", ["fixed", "moving"])
def test_the_lung_of_a_real_patient_is_the_one_an_expert_drew(key: str) -> None:
    mask = found(read_image(DATA / "followup_pair" / f"{key}.mha"))
    assert dice(mask, read_image(DATA / "followup_pair" / f"{key}_mask.mha")) > 0.95


@pytest.mark.slow
@pytest.mark.skipif(not DATA.is_dir(), reason=NO_DATA)
@pytest.mark.parametrize(
    "name", ["ct/lidc_0001_1.5mm.nii.gz", "ct/4dlung_113_1.5mm.nii.gz", "ct/cta_1.5mm.nii.gz", "ct/cip_ct64.nrrd"]
)
def test_real_lungs_have_the_volume_of_lungs_and_stay_when_the_field_of_view_shrinks(name: str) -> None:
    scan = read_image(DATA / name)
    mask = found(scan)
    litres = float((mask > 0).sum()) * float(torch.linalg.det(scan.affine[:3, :3]).abs()) / 1e6
    assert 1.5 < litres < 7.0
    centre, last = mask[0].as_tensor().nonzero().double().mean(dim=0), torch.tensor(scan.shape[1:]).double() - 1
    x, y = (
        (torch.arange(side) - middle) * step
        for side, middle, step in zip(scan.shape[1:3], centre, scan.pixdim, strict=False)
    )
    outside = (x[:, None] ** 2 + y**2 > 140.0**2)[None, :, :, None]
    narrow = MetaTensor(torch.where(outside, PADDING_HU, scan.as_tensor()), affine=scan.affine)
    assert dice(found(narrow), mask * ~outside) > 0.95
    quarter = int(last[2] // 4)
    short = MetaTensor(scan.as_tensor()[..., quarter:-quarter].contiguous(), affine=scan.affine)
    assert dice(found(short), mask[..., quarter:-quarter]) > 0.95


@pytest.mark.slow
@pytest.mark.skipif(not DATA.is_dir(), reason=NO_DATA)
def test_the_lungs_of_a_breathing_patient_change_as_their_volume_does() -> None:
    litres = {}
    for phase in (20, 60):
        mask = found(read_image(DATA / "4dct" / f"phase{phase}.nii.gz"))
        litres[phase] = float((mask > 0).sum()) * float(torch.linalg.det(mask.affine[:3, :3]).abs()) / 1e6
    assert 1.5 < litres[60] < litres[20] < 7.0
