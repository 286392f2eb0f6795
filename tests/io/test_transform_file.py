from __future__ import annotations

from pathlib import Path

import itk
import pytest
import SimpleITK as sitk
import torch
from torch import Tensor

from bundle.geometry import WorldTransform, apply_affine, swap_ras_lps
from bundle.io import (
    ImageHeader,
    check_header,
    read_displacement,
    read_image,
    read_transform,
    write_displacement,
    write_transform,
)
from bundle.io.displacement import PRECISION_MM as DENSE_PRECISION_MM
from bundle.io.transform_file import INVERSE_PRECISION_MM, PRECISION_MM
from tests.grids import FIXED_SHAPE, MOVING_SHAPE, NETWORK_SHAPE, Case, make_affine, make_case, to_sitk, waves_vox

SINGLE_MM = 5e-4  # of coordinates of more than a metre in single precision: the file's affine


def rounding_mm(transform: WorldTransform) -> float:
    """What rounding moves a point by along an axis, at most: half a step along each axis, then turned and scaled."""
    affine = transform.grid_to_moving @ torch.linalg.inv(transform.grid_to_fixed)
    return float(affine[:3, :3].abs().sum(dim=1).max()) * PRECISION_MM / 2 + SINGLE_MM


def points_in(shape: tuple[int, int, int], affine: Tensor, margin_vox: float) -> Tensor:
    """Random points (50, 3), RAS mm, at least a margin inside the outermost voxels of a grid."""
    room = torch.tensor(shape, dtype=torch.float64) - 1 - 2 * margin_vox
    vox = torch.rand(50, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64) * room + margin_vox
    return apply_affine(affine, vox)


def moved_by(transform: sitk.Transform | itk.Transform, points_mm: Tensor) -> Tensor:
    """Points (N, 3), RAS mm, mapped by SimpleITK or ITK."""
    moved = [list(transform.TransformPoint(point)) for point in swap_ras_lps(points_mm).tolist()]
    return swap_ras_lps(torch.tensor(moved, dtype=torch.float64))


def corners_mm(case: Case) -> Tensor:
    return ImageHeader("fixed", FIXED_SHAPE, case.fixed_affine).corners_mm


@pytest.mark.parametrize("flip", [(1, 1, 1), (-1, 1, 1), (-1, -1, 1)])
def test_simpleitk_moves_points_through_the_file_as_through_its_own_composite(
    flip: tuple[int, int, int], tmp_path: Path
) -> None:
    case = make_case(flip)
    write_transform(tmp_path / "transform.h5", case.transform, corners_mm(case))
    points = points_in(NETWORK_SHAPE, case.transform.grid_to_fixed, margin_vox=0)
    moved = moved_by(sitk.ReadTransform(tmp_path / "transform.h5"), points)
    expected = moved_by(case.reference, points)
    assert (expected - points).norm(dim=1).min() > 1000  # the case shifts the table by more than a metre
    torch.testing.assert_close(moved, expected, atol=rounding_mm(case.transform), rtol=0)


def test_beside_the_network_grid_the_file_holds_the_border_value_over_all_of_the_scan(tmp_path: Path) -> None:
    transform = make_case().transform
    ends = [torch.tensor([-6.5, size + 3.2], dtype=torch.float64) for size in NETWORK_SHAPE]
    corners = apply_affine(transform.grid_to_fixed, torch.cartesian_prod(*ends))
    write_transform(tmp_path / "transform.h5", transform, corners)
    moved = moved_by(sitk.ReadTransform(tmp_path / "transform.h5"), corners)
    torch.testing.assert_close(moved, transform.transform_points_mm(corners), atol=rounding_mm(transform), rtol=0)


def test_the_file_is_one_composite_and_nothing_else_is_left(tmp_path: Path) -> None:
    case = make_case()
    write_transform(tmp_path / "transform.h5", case.transform, corners_mm(case))
    assert [path.name for path in tmp_path.iterdir()] == ["transform.h5"]
    composite = sitk.CompositeTransform(sitk.ReadTransform(tmp_path / "transform.h5"))
    assert [composite.GetNthTransform(i).GetName() for i in (0, 1)] == ["AffineTransform", "DisplacementFieldTransform"]


def test_itk_reads_back_what_was_written(tmp_path: Path) -> None:
    case = make_case()
    write_transform(tmp_path / "transform.h5", case.transform, corners_mm(case))
    points = points_in(NETWORK_SHAPE, case.transform.grid_to_fixed, margin_vox=0)
    moved = moved_by(read_transform(tmp_path / "transform.h5"), points)
    torch.testing.assert_close(moved, moved_by(case.reference, points), atol=rounding_mm(case.transform), rtol=0)


@pytest.mark.parametrize("suffix", [".nii.gz", ".mha", ".nrrd"])
def test_a_displacement_field_is_read_as_a_transform(suffix: str, tmp_path: Path) -> None:
    affine = make_affine((8, 9, 10), (0.7, 1.1, 2.5), angles_deg=(20, -15, 35), flip=(-1, 1, 1))
    displacement_mm = waves_vox((8, 9, 10), amplitude_vox=3.0)[0]
    write_displacement(tmp_path / f"displacement{suffix}", displacement_mm, affine)
    points = points_in((8, 9, 10), affine, margin_vox=0.1)
    expected = moved_by(sitk.DisplacementFieldTransform(to_sitk(displacement_mm, affine)), points)
    moved = moved_by(read_transform(tmp_path / f"displacement{suffix}"), points)
    torch.testing.assert_close(moved, expected, atol=DENSE_PRECISION_MM / 2 + 1e-5, rtol=0)


def test_a_matlab_file_is_read_whole_or_refused(tmp_path: Path) -> None:
    sitk.WriteTransform(sitk.TranslationTransform(3, (1.0, 2.0, 3.0)), str(tmp_path / "whole.mat"))
    assert list(read_transform(tmp_path / "whole.mat").TransformPoint([0.0, 0.0, 0.0])) == [1, 2, 3]
    sitk.WriteTransform(sitk.AffineTransform(3), str(tmp_path / "whole.mat"))
    whole = (tmp_path / "whole.mat").read_bytes()
    for cut in range(len(whole)):  # ITK reads many of them, with arbitrary numbers
        (tmp_path / "cut.mat").write_bytes(whole[:cut])
        with pytest.raises(ValueError, match=r"cut\.mat: (cannot be read|truncated)"):
            read_transform(tmp_path / "cut.mat")


@pytest.mark.parametrize("flip", [(1, 1, 1), (-1, -1, 1)])
def test_simpleitk_undoes_the_transform_with_its_inverse(flip: tuple[int, int, int], tmp_path: Path) -> None:
    """The inverse's field lies in the fixed world, after the inverse affine, which scales the axes differently."""
    case = make_case(flip)
    inverse = case.transform.inverse()
    moving = ImageHeader("moving", MOVING_SHAPE, case.moving_affine).corners_mm
    write_transform(tmp_path / "inverse_transform.h5", inverse, moving, field_last=True)
    there = moved_by(case.reference, points_in(NETWORK_SHAPE, case.transform.grid_to_fixed, margin_vox=3))
    written = sitk.ReadTransform(tmp_path / "inverse_transform.h5")
    half_step_mm = INVERSE_PRECISION_MM / 2 + SINGLE_MM  # the field comes last: nothing turns or scales it
    for points in (there, moving):
        expected = inverse.transform_points_mm(points)
        torch.testing.assert_close(moved_by(written, points), expected, atol=half_step_mm, rtol=0)
    back = moved_by(written, there)
    error_mm = (moved_by(case.reference, back) - there).norm(dim=1)
    assert error_mm.median() < 0.7  # of voxels of 7.5 to 11 mm; the waves almost fold


def test_the_two_files_of_a_phantoms_breath_lead_there_and_back(small_phantoms: Path, tmp_path: Path) -> None:
    """Inside the lungs; at their surface, where tissue slides within one voxel, a grid of 4 mm has no inverse."""
    folder = small_phantoms / "test_00"
    displacement_mm, grid = read_displacement(folder / "displacement.nii.gz")
    ddf_vox = torch.einsum("ab,bhwd->ahwd", torch.linalg.inv(grid[:3, :3]).float(), displacement_mm)
    transform = WorldTransform(ddf_vox[None], grid, grid)
    fixed, moving = (check_header(folder / f"{key}.nii.gz").corners_mm for key in ("fixed", "moving"))
    write_transform(tmp_path / "transform.h5", transform, fixed)
    write_transform(tmp_path / "inverse_transform.h5", transform.inverse(), moving, field_last=True)
    lungs = read_image(folder / "fixed_mask.nii.gz").as_tensor()[None].float()
    inner = -torch.nn.functional.max_pool3d(-lungs, 7, stride=1, padding=3)[0, 0]
    points = apply_affine(grid, inner.nonzero()[::5].double())
    there, back = (sitk.ReadTransform(tmp_path / f"{name}transform.h5") for name in ("", "inverse_"))
    error_mm = (moved_by(back, moved_by(there, points)) - points).norm(dim=1)
    assert (moved_by(there, points) - points).norm(dim=1).mean() > 10
    assert error_mm.quantile(0.9) < 0.1
    assert error_mm.max() < 0.2


def test_the_written_vectors_are_whole_steps(tmp_path: Path) -> None:
    case = make_case()
    write_transform(tmp_path / "transform.h5", case.transform, corners_mm(case))
    field = sitk.CompositeTransform(sitk.ReadTransform(tmp_path / "transform.h5")).GetNthTransform(1)
    steps = torch.tensor(field.GetParameters(), dtype=torch.float64) / PRECISION_MM
    torch.testing.assert_close(steps, steps.round(), atol=0, rtol=0)


def test_a_large_file_of_many_chunks_is_small_and_whole(tmp_path: Path) -> None:
    shape = (97, 90, 83)
    grid = make_affine(shape, (1.5, 1.5, 1.5), angles_deg=(3, 2, 1))
    transform = WorldTransform(waves_vox(shape, amplitude_vox=4.0), grid, grid)
    write_transform(tmp_path / "transform.h5", transform, apply_affine(grid, torch.zeros(1, 3, dtype=torch.float64)))
    points = points_in(shape, grid, margin_vox=0)
    moved = moved_by(sitk.ReadTransform(tmp_path / "transform.h5"), points)
    torch.testing.assert_close(moved, transform.transform_points_mm(points), atol=rounding_mm(transform), rtol=0)
    assert (tmp_path / "transform.h5").stat().st_size < 0.45 * 12 * 97 * 90 * 83
