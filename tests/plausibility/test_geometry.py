from __future__ import annotations

import pytest
import torch
from monai.data import MetaTensor
from monai.transforms import Orientation

from bundle.plausibility import (
    LungView,
    implausible_lungs,
    lost_geometry,
    repeated_slices,
    turned_scan,
    unlike_lungs,
    view_lungs,
)
from tests.chest import Chest
from tests.plausibility.anatomy import anatomical, turned

Volumes = tuple[MetaTensor, MetaTensor]
UPRIGHT = (0, 1, 2)


@pytest.fixture(scope="module")
def chest() -> Volumes:
    """Scan and lungs."""
    return anatomical()


def view(scan: MetaTensor, lungs: MetaTensor) -> LungView:
    seen = view_lungs(scan, lungs)
    assert seen is not None
    return seen


def signs_of(volumes: Volumes, axes: tuple[int, int, int] = UPRIGHT, flips: tuple[int, ...] = ()) -> list[str]:
    """Signs of voxels that are turned in RAS order while their header is not."""
    seen = view(*(turned(Orientation(axcodes="RAS", labels=None)(volume), axes, flips) for volume in volumes))
    return implausible_lungs(seen) + turned_scan(seen)


@pytest.mark.parametrize("codes", ["RAS", "LPS", "SRA"])
def test_a_true_header_has_no_sign(chest: Volumes, codes: str) -> None:
    scan, lungs = (Orientation(axcodes=codes, labels=None)(volume) for volume in chest)
    seen = view(scan, lungs)
    assert [*lost_geometry(scan.affine), *implausible_lungs(seen), *turned_scan(seen)] == []
    assert unlike_lungs(seen, view(*chest)) == []


@pytest.mark.parametrize("side", ["right", "left"])
def test_one_lung_has_no_sign(side: str) -> None:
    assert signs_of(anatomical(Chest(sides=(side,)))) == []


@pytest.mark.parametrize(("first", "last"), [(0, 0.6), (0.4, 1)], ids=["without its apex", "without its base"])
def test_lungs_that_are_cut_have_no_sign(chest: Volumes, first: float, last: float) -> None:
    scan, lungs = (
        MetaTensor(volume.as_tensor()[..., round(first * 48) : round(last * 48)], affine=volume.affine)
        for volume in chest
    )
    assert signs_of((scan, lungs)) == []


@pytest.mark.parametrize("signs", [(1, 1, 1), (-1, -1, 1)], ids=["RAS", "LPS"])
def test_a_geometry_that_was_lost_is_noticed(signs: tuple[int, int, int]) -> None:
    affine = torch.diag(torch.tensor([*signs, 1], dtype=torch.float64))
    (sign,) = lost_geometry(affine)
    assert "as if written from an array without its geometry" in sign
    affine[0, 3] = 5
    assert lost_geometry(affine) == []
    assert lost_geometry(torch.diag(torch.tensor([1, 1, 2.5, 1], dtype=torch.float64))) == []


@pytest.mark.parametrize("flips", [(2,), (0, 2)], ids=["head to foot", "turned about the other axis"])
def test_a_scan_upside_down_has_its_domes_below(chest: Volumes, flips: tuple[int, ...]) -> None:
    (sign,) = signs_of(chest, flips=flips)
    assert sign.startswith("the lungs are domed at their lower end")


@pytest.mark.parametrize("flips", [(1,), (0, 1)], ids=["front to back", "turned about the long axis"])
def test_a_scan_on_its_face_has_its_spine_in_front(chest: Volumes, flips: tuple[int, ...]) -> None:
    (sign,) = signs_of(chest, flips=flips)
    assert sign.startswith("spine and wider part of the lungs lie in front")


@pytest.mark.parametrize(
    ("axes", "words"),
    [
        ((1, 0, 2), "the two lungs lie behind each other, not side by side"),
        ((2, 1, 0), "the two lungs lie above each other, not side by side"),
        ((0, 2, 1), "the lungs are domed from front to back, not from foot to head"),
    ],
)
def test_exchanged_axes_are_noticed(chest: Volumes, axes: tuple[int, int, int], words: str) -> None:
    assert any(sign.startswith(words) for sign in signs_of(chest, axes))


def test_lungs_of_a_giant_and_flat_lungs_are_noticed(chest: Volumes) -> None:
    scale = torch.diag(torch.tensor([3, 3, 0.7, 1], dtype=torch.float64))
    signs = implausible_lungs(view(*(MetaTensor(volume.as_tensor(), affine=scale @ volume.affine) for volume in chest)))
    assert any("larger than any" in sign for sign in signs)
    assert any("flat as none are" in sign for sign in signs)


def test_lungs_of_a_mouse_are_noticed(chest: Volumes) -> None:
    scale = torch.diag(torch.tensor([0.1, 0.1, 0.1, 1], dtype=torch.float64))
    signs = implausible_lungs(view(*(MetaTensor(volume.as_tensor(), affine=scale @ volume.affine) for volume in chest)))
    assert any("small animal" in sign for sign in signs)


def test_lungs_of_another_size_are_unlike(chest: Volumes) -> None:
    scale = torch.diag(torch.tensor([1, 1, 1.8, 1], dtype=torch.float64))
    taller = view(*(MetaTensor(volume.as_tensor(), affine=scale @ volume.affine) for volume in chest))
    (sign,) = unlike_lungs(view(*chest), taller)
    assert sign.startswith("height (head-foot) of the lungs: 1")


def test_an_empty_mask_gives_no_view(chest: Volumes) -> None:
    assert view_lungs(chest[0], MetaTensor(torch.zeros_like(chest[1].as_tensor()), affine=chest[1].affine)) is None


@pytest.mark.parametrize(("order", "count"), [([0, 0, 2, 2, 4, 4, 6, 6], 4), ([0, 1, 2, 3, 4, 5, 6, 6], 1)])
def test_repeated_slices_are_counted(order: list[int], count: int) -> None:
    volume = torch.rand(1, 8, 8, 8, generator=torch.Generator().manual_seed(0))
    assert repeated_slices(MetaTensor(volume)) == []
    repeated = MetaTensor(volume[..., order])
    assert repeated_slices(repeated) == [f"{count} of 8 slices repeat the one before"]


def test_empty_slices_are_not_repeated_ones() -> None:
    volume = torch.rand(1, 8, 8, 8, generator=torch.Generator().manual_seed(0))
    volume[..., :4] = -1024
    assert repeated_slices(MetaTensor(volume)) == []
