from __future__ import annotations

from pathlib import Path

import itk
import pytest
import SimpleITK as sitk
import torch
from torch import Tensor

from bundle.geometry import WorldTransform, apply_affine
from bundle.io import (
    ImageHeader,
    extend,
    field_of,
    invert_transform,
    itk_transform,
    read_transform,
    transform_points,
    write_displacement,
    write_transform,
)
from bundle.io.field_transform import border_affine, split_transform
from tests.grids import NETWORK_SHAPE, Case, affine_to_sitk, make_affine, make_case, rotation, to_sitk, waves_vox
from tests.io.test_transform_file import corners_mm, moved_by, points_in, rounding_mm

SHAPE = (20, 17, 14)
FIELD_SHAPE = (12, 10, 14)
FIXED = make_affine(
    SHAPE, (9.0, 11.0, 8.0), angles_deg=(20, -15, 35), flip=(-1, 1, 1), centre_mm=(-12.0, 85.0, -1340.0)
)


def apart(shift_mm: float) -> Tensor:
    """Affine (4, 4), RAS mm, between scans that are rotated, scaled and `shift_mm` apart."""
    affine = rotation(4, 7, -3)
    affine[:3, :3] *= torch.tensor([1.08, 0.95, 1.03])
    centre = FIXED @ torch.tensor([9.5, 8.0, 6.5, 1.0], dtype=torch.float64)
    affine[:3, 3] = centre[:3] - affine[:3, :3] @ centre[:3] + torch.tensor([0.1, -0.2, 0.97]) * shift_mm
    return affine


def bump_mm() -> Tensor:
    """A smooth displacement (3, H, W, D), RAS mm, in the middle of the grid, up to 14 mm."""
    axes = [torch.linspace(-1, 1, size, dtype=torch.float64) for size in SHAPE]
    radius = sum(axis**2 for axis in torch.meshgrid(*axes, indexing="ij"))
    height = torch.exp(-4 * radius) * (radius < 0.9) * 14
    return torch.stack([height, -height / 2, height * 0.8])


def field_mm(outer: Tensor, inner_mm: Tensor) -> Tensor:
    """Displacement (3, H, W, D), RAS mm, of the affine `outer` after x + inner(x)."""
    vox = torch.cartesian_prod(*[torch.arange(size, dtype=torch.float64) for size in SHAPE])
    points = apply_affine(FIXED, vox)
    moved = apply_affine(outer, points + inner_mm.flatten(1).T)
    return (moved - points).T.reshape(3, *SHAPE)


def outside_points() -> Tensor:
    """Points (50, 3) around the grid, up to four voxels outside."""
    vox = torch.rand(50, 3, generator=torch.Generator().manual_seed(1), dtype=torch.float64) * 8 - 4
    vox = vox + (vox > 0) * (torch.tensor(SHAPE) - 1)
    return apply_affine(FIXED, vox)


def test_the_affine_of_the_border_is_found() -> None:
    outer = apart(600.0)
    torch.testing.assert_close(
        border_affine(field_mm(outer, bump_mm() * 0).float(), FIXED), outer, atol=2e-3, rtol=1e-4
    )


@pytest.mark.parametrize("shift_mm", [0.0, 40.0, 600.0])
def test_a_split_field_is_the_field_inside_its_grid(shift_mm: float) -> None:
    field = field_mm(apart(shift_mm), bump_mm())
    points = points_in(SHAPE, FIXED, margin_vox=0)
    expected = moved_by(sitk.DisplacementFieldTransform(to_sitk(field, FIXED)), points)
    torch.testing.assert_close(
        transform_points(split_transform(field.float(), FIXED), points), expected, atol=2e-3, rtol=0
    )


@pytest.mark.parametrize("shift_mm", [0.0, 40.0, 600.0])
def test_points_outside_a_field_follow_the_affine_of_its_border_and_come_back(shift_mm: float) -> None:
    outer, points = apart(shift_mm), outside_points()
    transform = split_transform(field_mm(outer, bump_mm()).float(), FIXED)
    expected = moved_by(affine_to_sitk(outer), points)
    moved = transform_points(extend(transform, points), points)
    torch.testing.assert_close(moved, expected, atol=0.02, rtol=0)
    back = transform_points(extend(invert_transform(transform), moved), moved)
    torch.testing.assert_close(back, points, atol=0.05, rtol=0)


@pytest.mark.parametrize("shift_mm", [0.0, 40.0, 600.0])
def test_the_inverse_of_a_field_lies_where_the_field_leads(shift_mm: float, tmp_path: Path) -> None:
    """Scans 600 mm apart: the grid of the field itself does not even touch the moving scan."""
    field = field_mm(apart(shift_mm), bump_mm())
    write_displacement(tmp_path / "displacement.nii.gz", field.float(), FIXED)
    points = points_in(SHAPE, FIXED, margin_vox=0)
    moved = moved_by(sitk.DisplacementFieldTransform(to_sitk(field, FIXED)), points)
    inverse = extend(invert_transform(read_transform(tmp_path / "displacement.nii.gz")), moved)
    error = (transform_points(inverse, moved) - points).norm(dim=1)
    assert error.max() < 0.6  # trilinear fields on 9 mm voxels; the inverse of one is not one
    assert error.mean() < 0.1


def test_a_field_file_of_itk_is_split_too(tmp_path: Path) -> None:
    outer, points = apart(600.0), outside_points()
    transform = sitk.DisplacementFieldTransform(to_sitk(field_mm(outer, bump_mm() * 0), FIXED))
    sitk.WriteTransform(transform, tmp_path / "field.h5")
    moved = transform_points(extend(read_transform(tmp_path / "field.h5"), points), points)
    torch.testing.assert_close(moved, moved_by(affine_to_sitk(outer), points), atol=0.02, rtol=0)


def test_a_field_that_ends_in_zero_leaves_points_outside_where_they_are() -> None:
    points = outside_points()
    transform = split_transform(bump_mm().float(), FIXED)
    torch.testing.assert_close(transform_points(extend(transform, points), points), points, atol=1e-3, rtol=0)


def test_a_composite_is_extended_by_the_border_of_its_field(tmp_path: Path) -> None:
    """As `WorldTransform` continues outside its grid."""
    case = make_case()
    write_transform(tmp_path / "transform.h5", case.transform, corners_mm(case))
    ends = [torch.tensor([-4.5, size + 3.2], dtype=torch.float64) for size in NETWORK_SHAPE]
    far = apply_affine(case.transform.grid_to_fixed, torch.cartesian_prod(*ends))
    moved = transform_points(extend(read_transform(tmp_path / "transform.h5"), far), far)
    torch.testing.assert_close(moved, case.transform.transform_points_mm(far), atol=rounding_mm(case.transform), rtol=0)


def test_points_in_another_place_are_refused(tmp_path: Path) -> None:
    transform = split_transform(bump_mm().float(), FIXED)
    far = points_in(SHAPE, FIXED, margin_vox=0) + 2000.0
    with pytest.raises(ValueError, match=r"field\.nii: expected points in or near its .* field of 180 x 187 x 112 mm"):
        extend(transform, far, name="field.nii")


def test_nothing_is_copied_for_points_inside() -> None:
    transform = split_transform(bump_mm().float(), FIXED).GetNthTransform(1)
    assert extend(transform, ImageHeader("fixed", SHAPE, FIXED).corners_mm) is transform


def gentle_case() -> Case:
    """As `make_case`, with an invertible field."""
    case = make_case()
    field = waves_vox(NETWORK_SHAPE, amplitude_vox=0.4)
    transform = WorldTransform(field, case.transform.grid_to_fixed, case.transform.grid_to_moving)
    return case._replace(transform=transform)


def test_the_inverse_brings_simpleitks_points_back(tmp_path: Path) -> None:
    case = gentle_case()
    write_transform(tmp_path / "transform.h5", case.transform, corners_mm(case))
    points = points_in(NETWORK_SHAPE, case.transform.grid_to_fixed, margin_vox=2)
    there = moved_by(sitk.ReadTransform(tmp_path / "transform.h5"), points)
    back = moved_by(invert_transform(read_transform(tmp_path / "transform.h5")), there)
    # both fields are trilinear between voxels of 9 mm, and the inverse of a trilinear field is not trilinear
    torch.testing.assert_close(back, points, atol=1.0, rtol=0)
    assert (back - points).norm(dim=1).mean() < 0.3


def test_the_inverse_of_a_linear_transform_is_exact(tmp_path: Path) -> None:
    transform = sitk.Euler3DTransform((12.0, -30.0, 700.0), 0.1, -0.2, 0.3, (4.0, 50.0, -33.0))
    sitk.WriteTransform(transform, tmp_path / "rigid.tfm")
    points = points_in((8, 9, 10), rotation(10, 20, 30), margin_vox=0)
    back = moved_by(invert_transform(read_transform(tmp_path / "rigid.tfm")), moved_by(transform, points))
    torch.testing.assert_close(back, points, atol=1e-9, rtol=0)


def test_a_transform_without_a_known_inverse_is_refused(tmp_path: Path) -> None:
    sitk.WriteTransform(sitk.BSplineTransform(3), tmp_path / "spline.h5")
    with pytest.raises(ValueError, match=r"^spline\.h5: only linear transforms.* found a BSplineTransform$"):
        invert_transform(read_transform(tmp_path / "spline.h5"), name="spline.h5")


@pytest.mark.parametrize("is_composite", [False, True])
def test_a_singular_transform_has_no_inverse(is_composite: bool, tmp_path: Path) -> None:
    flat = sitk.AffineTransform([1.0, 0, 0, 0, 1, 0, 0, 0, 0], [0.0, 0, 0])
    sitk.WriteTransform(sitk.CompositeTransform([flat]) if is_composite else flat, tmp_path / "flat.h5")
    with pytest.raises(ValueError, match=r"^flat\.h5: expected an invertible transform, found a singular AffineT"):
        invert_transform(read_transform(tmp_path / "flat.h5"), name="flat.h5")


def test_the_field_of_a_transform_maps_points_as_itk_does() -> None:
    grid = make_affine(FIELD_SHAPE, (5.0, 4.0, 6.0), angles_deg=(10, -5, 20), flip=(-1, 1, 1))
    start = WorldTransform(waves_vox(FIELD_SHAPE, amplitude_vox=0.5), grid, rotation(3, -2, 5) @ grid)
    ends_mm = torch.tensor([[-25.0, -18.0, -38.0], [25.0, 18.0, 38.0]], dtype=torch.float64)
    transform = itk_transform(start, ends_mm)
    points_mm = torch.rand(50, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64) * 30 - 15
    found = field_of(transform).transform_points_mm(points_mm)
    torch.testing.assert_close(found, transform_points(transform, points_mm), atol=1e-3, rtol=0)


def test_a_transform_without_a_field_is_no_transform_of_a_registration() -> None:
    with pytest.raises(ValueError, match=r"other\.tfm: expected the transform of a registration.*got AffineTransform"):
        field_of(itk.AffineTransform[itk.D, 3].New(), name="other.tfm")
