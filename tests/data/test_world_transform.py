from __future__ import annotations

from pathlib import Path

import pytest
import SimpleITK as sitk
import torch

from bundle.data import read_world_transform
from bundle.geometry import swap_ras_lps
from bundle.io import ImageHeader, field_of, read_transform, write_transform
from bundle.io.transform_file import PRECISION_MM
from tests.grids import FIXED_SHAPE, affine_to_sitk, make_case, rotation, voxel_centres_mm


def test_the_transform_of_a_result_folder_maps_points_as_itk_does(tmp_path: Path) -> None:
    case = make_case()
    header = ImageHeader("fixed", FIXED_SHAPE, case.fixed_affine)
    write_transform(tmp_path / "transform.h5", case.transform, header.corners_mm)
    points = voxel_centres_mm(FIXED_SHAPE, case.fixed_affine)[::7]
    reference = sitk.ReadTransform(str(tmp_path / "transform.h5"))
    expected = torch.tensor([reference.TransformPoint(point) for point in swap_ras_lps(points).tolist()])
    moved = read_world_transform(tmp_path / "transform.h5").transform_points_mm(points)
    torch.testing.assert_close(swap_ras_lps(moved), expected.double(), atol=2e-3, rtol=0)
    torch.testing.assert_close(moved, case.transform.transform_points_mm(points), atol=2 * PRECISION_MM, rtol=0)


def test_other_transforms_are_no_result_of_a_registration(tmp_path: Path) -> None:
    sitk.WriteTransform(affine_to_sitk(rotation(1, 2, 3)), str(tmp_path / "affine.tfm"))
    with pytest.raises(ValueError, match=r"affine\.tfm: expected the transform\.h5 of a result folder, .* AffineTrans"):
        read_world_transform(tmp_path / "affine.tfm")


@pytest.mark.parametrize("centre_mm", [(0.0, 0.0, 0.0), (30.0, -20.0, 50.0)])
def test_a_file_that_itk_wrote_is_read_as_itk_reads_it(centre_mm: tuple[float, ...], tmp_path: Path) -> None:
    """In double precision, or with a centre of the affine, as no result folder has them: the parts say so."""
    field = sitk.Image([8, 9, 10], sitk.sitkVectorFloat64, 3)
    field.SetSpacing((5.0, 6.0, 7.0))
    field.SetOrigin((-20.0, -25.0, -30.0))
    field.SetDirection((0, 1, 0, -1, 0, 0, 0, 0, 1))
    rest = sitk.AffineTransform([1.1, 0.1, 0, 0, 0.9, 0, 0, 0.05, 1], [3.0, 2.0, 1.0], centre_mm)
    for index in ((3, 4, 5), (4, 4, 5)):
        field[index] = (2.0, -1.0, 3.0)
    sitk.WriteTransform(sitk.CompositeTransform([rest, sitk.DisplacementFieldTransform(field)]), tmp_path / "itk.h5")
    points = torch.rand(50, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64) * 20
    expected = field_of(read_transform(tmp_path / "itk.h5")).transform_points_mm(points)
    torch.testing.assert_close(read_world_transform(tmp_path / "itk.h5").transform_points_mm(points), expected)


def test_a_truncated_file_is_named(tmp_path: Path) -> None:
    case = make_case()
    header = ImageHeader("fixed", FIXED_SHAPE, case.fixed_affine)
    write_transform(tmp_path / "transform.h5", case.transform, header.corners_mm)
    content = (tmp_path / "transform.h5").read_bytes()
    (tmp_path / "transform.h5").write_bytes(content[: len(content) // 2])
    with pytest.raises(ValueError, match=r"transform\.h5: cannot be read as an ITK transform: truncated"):
        read_world_transform(tmp_path / "transform.h5")
