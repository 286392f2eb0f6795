from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import SimpleITK as sitk
import torch
from monai.data import MetaTensor
from monai.transforms import Orientation
from torch import Tensor

from bundle.geometry import apply_affine
from bundle.lung import find_lungs
from bundle.transforms import InitialAlignmentd, ReadInitialTransformd, align_lungs
from bundle.transforms.alignment import AlignmentMethod
from tests.chest import LUNGS, SHAPE, Chest, lungs_of, render
from tests.grids import make_affine, rotation, voxel_centres_mm

IDENTITY = torch.eye(4, dtype=torch.float64)


def known_affine(
    angles_deg: tuple[float, float, float] = (3.0, -1.5, 2.0),
    scales: tuple[float, float, float] = (1.08, 0.95, 0.92),
    shift_mm: tuple[float, float, float] = (12.0, -9.0, 40.0),
) -> Tensor:
    """Fixed to moving: a table shift, a posture change and a deeper breath."""
    affine = rotation(*angles_deg)
    affine[:3, :3] = affine[:3, :3] * torch.tensor(scales)
    affine[:3, 3] = torch.tensor(shift_mm)
    return affine


def make_scans(
    affine: Tensor,
    chest: Chest,
    *,
    low_mm: tuple[float, float, float] = (-108.0, -88.0, -105.0),
    high_mm: tuple[float, float, float] = (108.0, 88.0, 105.0),
) -> tuple[MetaTensor, MetaTensor]:
    """Fixed and moving scan, the moving one on its own rotated grid with its own field of view."""
    spacing_mm = (4.4, 4.2, 4.8)
    sides = [round((high - low) / step) for low, high, step in zip(low_mm, high_mm, spacing_mm, strict=True)]
    shape = (sides[0], sides[1], sides[2])
    middle = [
        (low + high) / 2 + shift for low, high, shift in zip(low_mm, high_mm, affine[:3, 3].tolist(), strict=True)
    ]
    grid = make_affine(shape, spacing_mm, angles_deg=(5, 0, -4), centre_mm=(middle[0], middle[1], middle[2]))
    return render(chest), render(chest, shape, grid, to_chest=torch.linalg.inv(affine))


def align(fixed: MetaTensor, moving: MetaTensor, method: AlignmentMethod = "affine") -> Tensor:
    masks = find_lungs(fixed), find_lungs(moving)
    assert masks[0] is not None
    assert masks[1] is not None
    return align_lungs(fixed, moving, masks[0], masks[1], method=method)


def mean_error_mm(estimated: Tensor, truth: Tensor, chest: Chest, fixed: MetaTensor) -> float:
    """Mean distance over the fixed lungs."""
    lungs = lungs_of(chest, fixed).as_tensor()[0]
    points = voxel_centres_mm(SHAPE, fixed.affine)[lungs.flatten() > 0]
    return float((apply_affine(estimated, points) - apply_affine(truth, points)).norm(dim=1).mean())


@pytest.mark.parametrize(
    "truth",
    [
        known_affine(),
        known_affine((3.0, 0.0, 0.0), (1.08, 1.08, 1.08)),
        known_affine((-4.0, 5.0, 6.0), (0.9, 0.92, 0.85), (-30.0, 20.0, -60.0)),
    ],
    ids=["inhale to exhale", "larger", "smaller, turned, far away"],
)
@pytest.mark.parametrize("sides", [("right", "left"), ("right",)], ids=["both lungs", "one lung"])
def test_a_known_affine_is_recovered(truth: Tensor, sides: tuple[str, ...]) -> None:
    chest = Chest(sides=sides, seed=1)
    fixed, moving = make_scans(truth, chest)
    assert mean_error_mm(IDENTITY, truth, chest, fixed) > 10
    affine = align(fixed, moving)
    assert affine.dtype == torch.float64
    assert mean_error_mm(affine, truth, chest, fixed) < 1.0


@pytest.mark.parametrize(
    ("low_mm", "high_mm"),
    [
        ((-108, -88, -50), (108, 88, 105)),
        ((-108, -88, -105), (108, 88, 40)),
        ((0, -60, -95), (100, 70, 95)),
        ((-80, -60, -90), (80, 60, 90)),
    ],
    ids=["bases cut", "apices cut", "one lung of two", "sides cut"],
)
def test_a_smaller_field_of_view_of_the_moving_scan_is_no_harder(
    low_mm: tuple[float, float, float], high_mm: tuple[float, float, float]
) -> None:
    chest, truth = Chest(), known_affine()
    fixed, moving = make_scans(truth, chest, low_mm=low_mm, high_mm=high_mm)
    assert mean_error_mm(align(fixed, moving), truth, chest, fixed) < 1.0


BOTH, RIGHT_ONLY, LEFT_ONLY = Chest(), Chest(sides=("right",)), Chest(sides=("left",))  # tissue instead of the other
TO_THE_RIGHT = {"low_mm": (0.0, -60.0, -95.0), "high_mm": (100.0, 70.0, 95.0)}
TO_THE_LEFT = {"low_mm": (-100.0, -60.0, -95.0), "high_mm": (0.0, 70.0, 95.0)}


@pytest.mark.parametrize(
    ("fixed_chest", "moving_chest", "view", "shared"),
    [
        (BOTH, RIGHT_ONLY, {}, RIGHT_ONLY),
        (BOTH, LEFT_ONLY, {}, LEFT_ONLY),
        (RIGHT_ONLY, BOTH, {}, RIGHT_ONLY),
        (LEFT_ONLY, BOTH, {}, LEFT_ONLY),
        (BOTH, BOTH, TO_THE_RIGHT, RIGHT_ONLY),
        (BOTH, BOTH, TO_THE_LEFT, LEFT_ONLY),
    ],
    ids=["left white", "right white", "left white before", "right white before", "right in view", "left in view"],
)
@pytest.mark.parametrize("shift_mm", [(12.0, -9.0, 40.0), (-130.0, 120.0, -400.0)], ids=["near", "far"])
def test_scans_are_aligned_by_the_lung_that_both_show(
    fixed_chest: Chest, moving_chest: Chest, view: dict[str, Any], shared: Chest, shift_mm: tuple[float, float, float]
) -> None:
    truth = known_affine(shift_mm=shift_mm)
    fixed, moving = render(fixed_chest), make_scans(truth, moving_chest, **view)[1]
    assert mean_error_mm(align(fixed, moving), truth, shared, fixed) < 1.0


@pytest.mark.parametrize("share", [0.15, 0.3])
@pytest.mark.parametrize("swapped", [False, True], ids=["in moving", "in fixed"])
def test_a_collapsed_lung_does_not_draw_the_other_away(share: float, swapped: bool) -> None:
    scan = render(Chest())
    labels = find_lungs(scan)
    assert labels is not None
    lower = (labels == 2) & (torch.arange(SHAPE[2]) > torch.quantile((labels == 2).nonzero()[:, 3].double(), share))
    hu, remnant = scan.as_tensor().clone(), labels.as_tensor().clone()
    hu[lower], remnant[lower] = 20.0, 0
    pair = [(scan, labels), (MetaTensor(hu, affine=scan.affine), MetaTensor(remnant, affine=scan.affine))]
    (fixed, fixed_mask), (moving, moving_mask) = reversed(pair) if swapped else pair
    centroids = align_lungs(fixed, moving, fixed_mask, moving_mask, method="centroid")
    torch.testing.assert_close(centroids, IDENTITY, atol=1e-6, rtol=0)
    affine = align_lungs(fixed, moving, fixed_mask, moving_mask, method="affine")
    assert mean_error_mm(affine, IDENTITY, RIGHT_ONLY, fixed) < 0.1


def test_a_known_shift_is_recovered_where_centroids_lie_apart() -> None:
    chest, truth = Chest(), known_affine((0.0, 0.0, 0.0), (1.0, 1.0, 1.0))
    fixed, moving = make_scans(truth, chest, low_mm=(-108, -88, -50), high_mm=(108, 88, 105))
    assert mean_error_mm(align(fixed, moving, method="centroid"), truth, chest, fixed) > 4
    affine = align(fixed, moving, method="translation")
    assert torch.equal(affine[:3, :3], torch.eye(3, dtype=torch.float64))
    assert mean_error_mm(affine, truth, chest, fixed) < 1.0


def test_noise_and_padding_are_no_harder() -> None:
    chest, truth = Chest(), known_affine()
    fixed, moving = make_scans(truth, chest)
    generator = torch.Generator().manual_seed(0)
    scans = []
    for scan in (fixed, moving):
        noisy = scan.as_tensor() + 50 * torch.randn(scan.shape, generator=generator)
        noisy[:, :3], noisy[:, -3:] = -2048.0, -2048.0
        scans.append(MetaTensor(noisy, affine=scan.affine))
    assert mean_error_mm(align(*scans), truth, chest, fixed) < 1.0


def test_one_scan_twice_gives_the_identity() -> None:
    scan = render(Chest())
    torch.testing.assert_close(align(scan, scan), IDENTITY, atol=1e-3, rtol=0)


def test_without_alignment_the_worlds_are_taken_as_they_are() -> None:
    fixed, moving = make_scans(known_affine(), Chest())
    assert torch.equal(align(fixed, moving, method="identity"), IDENTITY)


def test_centroids_lie_over_each_other() -> None:
    chest, truth = Chest(trachea=False, sides=("right",)), known_affine()
    affine = align(*make_scans(truth, chest), method="centroid")
    assert torch.equal(affine[:3, :3], torch.eye(3, dtype=torch.float64))
    centre = torch.tensor([LUNGS["right"][0]], dtype=torch.float64)
    torch.testing.assert_close(apply_affine(affine, centre), apply_affine(truth, centre), atol=1.0, rtol=0)


@pytest.mark.parametrize("angles_deg", [(20, -30, 15), (0, 0, 90)], ids=["oblique", "a quarter turn"])
def test_a_turned_header_turns_the_result_with_it(angles_deg: tuple[float, float, float]) -> None:
    fixed, moving = make_scans(known_affine(), Chest())
    turn = rotation(*angles_deg)
    turn[:3, 3] = torch.tensor([15.0, -40.0, 300.0])
    turned = [MetaTensor(scan.as_tensor(), affine=turn @ scan.affine) for scan in (fixed, moving)]
    expected = turn @ align(fixed, moving) @ torch.linalg.inv(turn)
    points = voxel_centres_mm(SHAPE, turned[0].affine)
    apart_mm = (apply_affine(align(turned[0], turned[1]), points) - apply_affine(expected, points)).norm(dim=1)
    # a quarter turn gives the scan other axes and with them other blocks of voxels
    assert apart_mm.max() < (1e-3 if angles_deg[2] == 15 else 0.5)


@pytest.mark.parametrize("axcodes", ["LPS", "SAR"])
def test_storage_does_not_change_the_result(axcodes: str) -> None:
    fixed, moving = make_scans(known_affine(), Chest())
    store = Orientation(axcodes=axcodes, labels=None)
    torch.testing.assert_close(align(store(fixed), store(moving)), align(fixed, moving), atol=1e-3, rtol=0)


def test_alignment_works_inside_no_grad() -> None:
    fixed, moving = make_scans(known_affine(), Chest())
    with torch.no_grad():
        assert mean_error_mm(align(fixed, moving), known_affine(), Chest(), fixed) < 1.0


# In a pair


def make_pair() -> dict[str, object]:
    fixed, moving = make_scans(known_affine(), Chest())
    return {"fixed": fixed, "moving": moving, "fixed_mask": find_lungs(fixed), "moving_mask": find_lungs(moving)}


def test_the_pair_gets_the_affine_from_fixed_to_moving() -> None:
    pair = make_pair()
    result = InitialAlignmentd(method="affine")(pair)
    assert "initial_affine" not in pair
    apex = torch.tensor([[44.0, 4.0, 70.0]], dtype=torch.float64)
    moved = apply_affine(result["initial_affine"], apex)
    assert float((moved - apply_affine(known_affine(), apex)).norm()) < 1.5
    assert float((moved - apply_affine(torch.linalg.inv(known_affine()), apex)).norm()) > 50


def test_the_users_own_transform_goes_before() -> None:
    own = known_affine((0.0, 0.0, 1.0), (1.0, 1.0, 1.0), (1.0, 2.0, 3.0))
    result = InitialAlignmentd(method="affine")({**make_pair(), "initial_affine": own})
    assert result["initial_affine"] is own


def test_labels_of_both_lungs_replace_the_masks_and_are_dropped() -> None:
    pair = make_pair()
    labels = {f"{key}_lungs": pair[f"{key}_mask"] for key in ("fixed", "moving")}
    masks = {
        f"{key}_mask": MetaTensor(torch.ones_like(pair[key]), affine=pair[key].affine) for key in ("fixed", "moving")
    }
    result = InitialAlignmentd(method="centroid")({**pair, **masks, **labels})
    torch.testing.assert_close(result["initial_affine"], InitialAlignmentd(method="centroid")(pair)["initial_affine"])
    assert not set(labels) & set(result)


@pytest.mark.parametrize(("shift_mm", "is_used"), [(0.0, True), (60.0, False)], ids=["a good one", "a wrong one"])
def test_a_start_is_used_if_it_covers_more_lung_than_the_centroids(shift_mm: float, is_used: bool) -> None:
    scan = render(Chest())
    lungs = lungs_of(Chest(), scan)
    lower = lungs.clone()
    lower[:, :, :, 21:] = 0  # the fixed lungs lack their upper half: the centroids do not correspond
    start = IDENTITY.clone()
    start[0, 3] = shift_mm
    without = align_lungs(scan, scan, lower, lungs, method="centroid")
    found = align_lungs(scan, scan, lower, lungs, method="centroid", start=start)
    torch.testing.assert_close(found, start if is_used else without)


def test_an_unknown_method_is_refused() -> None:
    with pytest.raises(ValueError, match=r"method: expected one of .*affine.*, got 'rigid'"):
        InitialAlignmentd(method="rigid")  # type: ignore[arg-type]


def test_masks_that_are_the_whole_image_work_too() -> None:
    fixed, moving = make_scans(known_affine(scales=(1.0, 1.0, 1.0)), Chest())
    masks = [MetaTensor(torch.ones_like(scan.as_tensor()), affine=scan.affine) for scan in (fixed, moving)]
    affine = align_lungs(fixed, moving, masks[0], masks[1], method="affine")
    error = mean_error_mm(affine, known_affine(scales=(1.0, 1.0, 1.0)), Chest(), fixed)
    assert math.isfinite(error)
    assert error < 2.0


def test_a_mask_smaller_than_a_coarse_voxel_works_too() -> None:
    fixed, moving = make_scans(known_affine((0.0, 0.0, 0.0), (1.0, 1.0, 1.0)), Chest())
    masks = [MetaTensor(torch.zeros_like(scan.as_tensor()), affine=scan.affine) for scan in (fixed, moving)]
    masks[0][0, 14, 22, 21] = 1
    masks[1][0, 14, 21, 22] = 1
    assert align_lungs(fixed, moving, masks[0], masks[1], method="affine").isfinite().all()


def test_the_users_transform_becomes_the_initial_affine(tmp_path: Path) -> None:
    transform = sitk.Euler3DTransform((0.0, 0.0, 0.0), 0.0, 0.0, np.pi / 2, (10.0, 20.0, 30.0))
    sitk.WriteTransform(transform, tmp_path / "initial.tfm")
    pair = ReadInitialTransformd()({"initial_transform": str(tmp_path / "initial.tfm")})
    # a quarter turn about z is the same in LPS and RAS; the shift changes its signs
    expected = torch.tensor([[0, -1, 0, -10], [1, 0, 0, -20], [0, 0, 1, 30], [0, 0, 0, 1]], dtype=torch.float64)
    torch.testing.assert_close(pair["initial_affine"], expected)
