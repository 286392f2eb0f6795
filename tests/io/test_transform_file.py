from __future__ import annotations

from pathlib import Path

import itk
import pytest
import SimpleITK as sitk
import torch
from torch import Tensor

from bundle.geometry import apply_affine, swap_ras_lps
from bundle.io import ImageHeader, read_transform, write_displacement, write_transform
from tests.grids import FIXED_SHAPE, NETWORK_SHAPE, Case, make_affine, make_case, to_sitk, waves_vox


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
    torch.testing.assert_close(moved, expected, atol=2e-3, rtol=0)


def test_beside_the_network_grid_the_file_holds_the_border_value_over_all_of_the_scan(tmp_path: Path) -> None:
    transform = make_case().transform
    ends = [torch.tensor([-6.5, size + 3.2], dtype=torch.float64) for size in NETWORK_SHAPE]
    corners = apply_affine(transform.grid_to_fixed, torch.cartesian_prod(*ends))
    write_transform(tmp_path / "transform.h5", transform, corners)
    moved = moved_by(sitk.ReadTransform(tmp_path / "transform.h5"), corners)
    torch.testing.assert_close(moved, transform.transform_points_mm(corners), atol=2e-3, rtol=0)


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
    torch.testing.assert_close(moved, moved_by(case.reference, points), atol=2e-3, rtol=0)


@pytest.mark.parametrize("suffix", [".nii.gz", ".mha", ".nrrd"])
def test_a_displacement_field_is_read_as_a_transform(suffix: str, tmp_path: Path) -> None:
    affine = make_affine((8, 9, 10), (0.7, 1.1, 2.5), angles_deg=(20, -15, 35), flip=(-1, 1, 1))
    displacement_mm = waves_vox((8, 9, 10), amplitude_vox=3.0)[0]
    write_displacement(tmp_path / f"displacement{suffix}", displacement_mm, affine)
    points = points_in((8, 9, 10), affine, margin_vox=0.1)
    expected = moved_by(sitk.DisplacementFieldTransform(to_sitk(displacement_mm, affine)), points)
    moved = moved_by(read_transform(tmp_path / f"displacement{suffix}"), points)
    torch.testing.assert_close(moved, expected, atol=2e-3, rtol=0)


def test_a_matlab_file_is_read_whole_or_refused(tmp_path: Path) -> None:
    sitk.WriteTransform(sitk.TranslationTransform(3, (1.0, 2.0, 3.0)), str(tmp_path / "whole.mat"))
    assert list(read_transform(tmp_path / "whole.mat").TransformPoint([0.0, 0.0, 0.0])) == [1, 2, 3]
    sitk.WriteTransform(sitk.AffineTransform(3), str(tmp_path / "whole.mat"))
    whole = (tmp_path / "whole.mat").read_bytes()
    for cut in range(len(whole)):  # ITK reads many of them, with arbitrary numbers
        (tmp_path / "cut.mat").write_bytes(whole[:cut])
        with pytest.raises(ValueError, match=r"cut\.mat: (cannot be read|truncated)"):
            read_transform(tmp_path / "cut.mat")
