from __future__ import annotations

from typing import Any

import pytest
import SimpleITK as sitk
import torch
from monai.data import MetaTensor
from monai.transforms import Orientation
from torch import Tensor

from bundle.geometry import spacing_mm
from bundle.transforms import NetworkGridd, put_on_grid
from bundle.transforms.network_grid import cubic_voxel_grid, resized_grid
from tests.grids import from_sitk, make_affine, rotation, to_sitk, voxel_centres_mm

SIZE = (16, 32, 48)
SHAPE, SPACING_MM = (24, 20, 14), (2.0, 3.0, 5.0)
BOX = (slice(6, 15), slice(4, 18), slice(3, 12))
MARGIN_MM = 6.0


def make_pair(angles_deg: tuple[float, float, float] = (10, -14, 20)) -> dict[str, object]:
    affine = make_affine(SHAPE, SPACING_MM, angles_deg=angles_deg, centre_mm=(33, -80, -1200))
    mask = torch.zeros(1, *SHAPE, dtype=torch.uint8)
    mask[(0, *BOX)] = 1
    return {
        "name": "pair",
        "fixed": MetaTensor(smooth_hu(SHAPE, affine)[None], affine=affine),
        "fixed_mask": MetaTensor(mask, affine=affine),
        "moving": MetaTensor(smooth_hu(SHAPE, affine)[None], affine=affine),
        "initial_affine": torch.eye(4, dtype=torch.float64),
    }


def smooth_hu(shape: tuple[int, int, int], affine: Tensor) -> Tensor:
    """A smooth function of the world, (H, W, D)."""
    points = voxel_centres_mm(shape, affine)
    x, y, z = (points - torch.tensor([33.0, -80, -1200])).unbind(dim=1)
    return (300 * torch.sin(x / 14) + 200 * torch.cos(y / 17 + z / 25)).reshape(shape).float()


def test_the_grid_spans_the_mask_and_the_margin_along_its_axes() -> None:
    pair = make_pair()
    scan_affine = pair["fixed"].affine
    sides, affine = resized_grid(pair["fixed_mask"], spatial_size=SIZE, margin_mm=MARGIN_MM)
    assert sides == SIZE
    for axis in range(3):  # the outer faces of the outermost voxels, seen from the scan
        faces = torch.zeros(2, 4, dtype=torch.float64)
        faces[:, 3] = 1
        faces[0, axis], faces[1, axis] = -0.5, SIZE[axis] - 0.5
        low, high = (torch.linalg.inv(scan_affine) @ affine @ faces.T)[axis].tolist()
        margin_vox = MARGIN_MM / SPACING_MM[axis]
        assert low == pytest.approx(BOX[axis].start - 0.5 - margin_vox)
        assert high == pytest.approx(BOX[axis].stop - 0.5 + margin_vox)
    extent_mm = [(box.stop - box.start) * step + 2 * MARGIN_MM for box, step in zip(BOX, SPACING_MM, strict=True)]
    expected_mm = torch.tensor(extent_mm, dtype=torch.float64) / torch.tensor(SIZE)
    torch.testing.assert_close(spacing_mm(affine), expected_mm)
    directions, scan_directions = affine[:3, :3] / spacing_mm(affine), scan_affine[:3, :3] / torch.tensor(SPACING_MM)
    torch.testing.assert_close(directions, scan_directions)  # oblique like the scan


def test_cubic_voxels_have_the_wanted_side_and_stand_centred_around_the_mask() -> None:
    pair = make_pair()
    step_mm = 1.7
    sides, affine = cubic_voxel_grid(pair["fixed_mask"], grid_spacing_mm=step_mm, margin_mm=MARGIN_MM)
    torch.testing.assert_close(spacing_mm(affine), torch.full((3,), step_mm, dtype=torch.float64))
    for side, box, step in zip(sides, BOX, SPACING_MM, strict=True):
        least = ((box.stop - box.start) * step + 2 * MARGIN_MM) / step_mm
        assert side % 16 == 0
        assert least <= side < least + 16
    middle_vox = torch.tensor([(box.start + box.stop - 1) / 2 for box in BOX] + [1.0], dtype=torch.float64)
    grid_middle_vox = torch.tensor([(side - 1) / 2 for side in sides] + [1.0], dtype=torch.float64)
    torch.testing.assert_close(affine @ grid_middle_vox, pair["fixed_mask"].affine @ middle_vox)


def test_sides_override_a_spacing_and_one_of_them_is_needed() -> None:
    both = NetworkGridd(spatial_size=SIZE, spacing_mm=2.0, margin_mm=MARGIN_MM)(make_pair())
    assert both["fixed_net"].shape == (1, *SIZE)
    with pytest.raises(ValueError, match="spatial_size or spacing_mm, got neither"):
        NetworkGridd()


@pytest.mark.parametrize("spacing_mm", [0.0, -1.0, float("nan"), 0.01, 900.0])
def test_voxels_without_a_size_or_beyond_the_limits_are_refused(spacing_mm: float) -> None:
    with pytest.raises(ValueError, match=r"spacing_mm: expected 0\.5 to 10 mm, got"):
        NetworkGridd(spacing_mm=spacing_mm)


def test_voxels_grow_until_the_mask_holds_no_more_than_the_limit() -> None:
    pair = make_pair()
    volume_mm3 = 9 * 14 * 9 * 2.0 * 3.0 * 5.0  # of BOX
    coarse = NetworkGridd(spacing_mm=1.7, margin_mm=MARGIN_MM, max_voxels=1000)(pair)
    expected_mm = (volume_mm3 / 1000) ** (1 / 3)
    assert spacing_mm(coarse["grid_to_fixed"]).tolist() == pytest.approx([expected_mm] * 3)
    fine = NetworkGridd(spacing_mm=1.7, margin_mm=MARGIN_MM, max_voxels=100_000)(pair)
    assert spacing_mm(fine["grid_to_fixed"]).tolist() == pytest.approx([1.7] * 3)


@pytest.mark.parametrize("axcodes", ["LPS", "ASR", "IRP"])
@pytest.mark.parametrize("grid", [{"spatial_size": SIZE}, {"spacing_mm": 2.3}], ids=["sides", "spacing"])
def test_storage_changes_neither_grid_nor_images(grid: dict[str, Any], axcodes: str) -> None:
    transform = NetworkGridd(**grid, margin_mm=MARGIN_MM)
    pair = make_pair()
    expected = transform(pair)
    store = Orientation(axcodes=axcodes, labels=None)
    stored = transform({**pair, **{key: store(pair[key]) for key in ("fixed", "moving", "fixed_mask")}})
    for key in ("grid_to_fixed", "grid_to_moving"):
        torch.testing.assert_close(stored[key], expected[key], atol=1e-9, rtol=0)
    for key, atol in (("fixed_net", 1e-3), ("moving_net", 1e-3), ("mask_net", 1e-5)):
        torch.testing.assert_close(stored[key].as_tensor(), expected[key].as_tensor(), atol=atol, rtol=0)


def test_both_scans_are_read_where_the_affines_say() -> None:
    pair = make_pair()
    initial = rotation(5, -3, 8)
    initial[:3, 3] = torch.tensor([50.0, 10.0, 400.0])
    pair["initial_affine"] = initial
    grid_to_moving = initial @ make_affine(SHAPE, SPACING_MM, angles_deg=(-5, 0, 0), centre_mm=(33, -80, -1200))
    # the same anatomy, acquired elsewhere: moving(initial x) = fixed(x)
    hu = smooth_hu(SHAPE, torch.linalg.inv(initial) @ grid_to_moving)
    pair["moving"] = MetaTensor(hu[None], affine=grid_to_moving)
    result = NetworkGridd(spatial_size=SIZE, margin_mm=MARGIN_MM)(pair)
    torch.testing.assert_close(result["grid_to_moving"], initial @ result["grid_to_fixed"])
    torch.testing.assert_close(result["moving_affine"], grid_to_moving)
    inside = result["mask_net"] > 0.99
    truth = smooth_hu(SIZE, result["grid_to_fixed"])[None]
    assert (result["fixed_net"] - truth)[inside].abs().max() < 15  # of a range of 1000: linear interpolation
    assert (result["moving_net"] - truth)[inside].abs().max() < 15


def test_reading_is_simpleitks_where_the_new_grid_is_finer() -> None:
    affine = make_affine(SHAPE, SPACING_MM, angles_deg=(10, -14, 20), flip=(-1, 1, 1))
    volume = MetaTensor(smooth_hu(SHAPE, affine)[None], affine=affine)
    grid_affine = make_affine((16, 16, 32), (1.7, 2.2, 1.6), angles_deg=(0, 25, -10))
    image, grid = to_sitk(volume[0].as_tensor(), affine), to_sitk(torch.zeros(16, 16, 32), grid_affine)
    expected = from_sitk(sitk.Resample(image, grid, sitk.Transform(), sitk.sitkLinear, -1e6))
    on_grid = put_on_grid(volume, (16, 16, 32), grid_affine)
    inside = expected > -1e6
    assert inside.double().mean() > 0.6
    torch.testing.assert_close(on_grid[0].as_tensor().double()[inside], expected[inside], atol=0.01, rtol=0)
    torch.testing.assert_close(on_grid.affine, grid_affine)


def test_noise_is_averaged_where_the_new_grid_is_coarser() -> None:
    noise = torch.randn(1, 40, 40, 40, generator=torch.Generator().manual_seed(0))
    on_grid = put_on_grid(MetaTensor(noise), (8, 8, 8), make_affine((8, 8, 8), (4.0, 4.0, 4.0), centre_mm=(20, 20, 20)))
    assert on_grid.std() < 0.2  # 1 / sqrt(64), and a little more averaging by the interpolation


def test_a_scan_with_another_field_of_view_answers_with_its_border() -> None:
    affine = make_affine(SHAPE, SPACING_MM)
    volume = MetaTensor(smooth_hu(SHAPE, affine)[None], affine=affine)
    grid_affine = make_affine((16, 16, 16), (2.0, 3.0, 5.0), centre_mm=(0, 0, 500))
    on_grid = put_on_grid(volume, (16, 16, 16), grid_affine)
    torch.testing.assert_close(on_grid[0, :, :, 0], on_grid[0, :, :, 15])
    assert volume.min() <= on_grid.min() < on_grid.max() <= volume.max()


def test_json_lists_are_sizes_too() -> None:
    result = NetworkGridd(spatial_size=[16, 16, 32], margin_mm=0.0)(make_pair())  # type: ignore[arg-type]
    assert result["fixed_net"].shape == result["moving_net"].shape == result["mask_net"].shape == (1, 16, 16, 32)


def test_an_empty_mask_is_an_error_that_names_the_pair() -> None:
    pair = make_pair()
    pair["fixed_mask"] = MetaTensor(torch.zeros(1, *SHAPE, dtype=torch.uint8), affine=pair["fixed"].affine)
    with pytest.raises(ValueError, match=r"pair: the fixed mask holds no voxel above 0"):
        NetworkGridd(spatial_size=SIZE)(pair)
