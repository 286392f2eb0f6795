from pathlib import Path

import itk
import nibabel as nib
import numpy as np
import pytest
import SimpleITK as sitk
import torch
from torch import Tensor

from bundle.geometry import apply_affine, swap_ras_lps
from bundle.io import read_displacement, write_displacement
from bundle.io.displacement import PRECISION_MM
from tests.io.conftest import SHAPE, make_affine

SUFFIXES = [".nii", ".nii.gz", ".mha", ".nrrd"]


@pytest.fixture
def displacement_mm() -> Tensor:
    return 20 * torch.randn(3, *SHAPE, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("flip", [(1, 1, 1), (-1, 1, 1), (-1, -1, 1)])
@pytest.mark.parametrize("suffix", SUFFIXES)
def test_simpleitk_moves_points_by_the_written_field(
    tmp_path: Path, displacement_mm: Tensor, suffix: str, flip: tuple[int, int, int]
) -> None:
    affine = make_affine(flip=flip)
    write_displacement(tmp_path / f"displacement{suffix}", displacement_mm, affine)
    image = sitk.ReadImage(tmp_path / f"displacement{suffix}", sitk.sitkVectorFloat64)
    transform = sitk.DisplacementFieldTransform(image)
    vox = torch.tensor([[0, 0, 0], [7, 8, 9], [3, 4, 5]])
    points = apply_affine(affine, vox.double())
    moved = [transform.TransformPoint(point) for point in swap_ras_lps(points).tolist()]
    expected = points + displacement_mm[:, vox[:, 0], vox[:, 1], vox[:, 2]].T
    # float32 headers put a voxel up to 1e-4 voxels beside its place, between neighbours that differ by 20 mm here
    torch.testing.assert_close(swap_ras_lps(torch.tensor(moved, dtype=torch.float64)), expected, atol=1e-2, rtol=0)


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_field_is_read_back_to_its_stated_precision(
    tmp_path: Path, displacement_mm: Tensor, suffix: str, oblique: Tensor
) -> None:
    write_displacement(tmp_path / f"displacement{suffix}", displacement_mm, oblique)
    read, affine = read_displacement(tmp_path / f"displacement{suffix}")
    assert read.shape == displacement_mm.shape
    assert (read - displacement_mm).abs().max() <= PRECISION_MM / 2
    torch.testing.assert_close(affine, oblique, atol=2e-4, rtol=0)


def test_the_nifti_is_a_5d_vector_image_in_lps_mm(tmp_path: Path, displacement_mm: Tensor, oblique: Tensor) -> None:
    write_displacement(tmp_path / "displacement.nii.gz", displacement_mm, oblique)
    nifti = nib.load(tmp_path / "displacement.nii.gz")
    assert nifti.shape == (*SHAPE, 1, 3)
    assert int(nifti.header["intent_code"]) == 1007
    assert nifti.header.get_xyzt_units()[0] == "mm"
    assert nifti.get_data_dtype() == np.float32
    lps = np.moveaxis(nifti.get_fdata()[:, :, :, 0], -1, 0) * np.array([-1, -1, 1]).reshape(3, 1, 1, 1)
    np.testing.assert_allclose(lps, displacement_mm.numpy(), atol=PRECISION_MM / 2)


def test_the_given_field_is_left_alone(tmp_path: Path, displacement_mm: Tensor) -> None:
    before = displacement_mm.clone()
    write_displacement(tmp_path / "displacement.nii", displacement_mm, torch.eye(4))
    torch.testing.assert_close(displacement_mm, before, atol=0, rtol=0)


def test_wrong_shapes_and_names_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"u\.nii: expected a displacement \(3, H, W, D\), got \(8, 9, 10, 3\)"):
        write_displacement(tmp_path / "u.nii", torch.zeros(*SHAPE, 3), torch.eye(4))
    with pytest.raises(ValueError, match=r"u\.h5: expected a name ending in one of \.nii, \.nii\.gz, \.mha, \.nrrd"):
        write_displacement(tmp_path / "u.h5", torch.zeros(3, *SHAPE), torch.eye(4))
    with pytest.raises(FileNotFoundError, match=r"u\.nii: no such displacement field"):
        read_displacement(tmp_path / "u.nii")
    itk.imwrite(itk.image_from_array(np.zeros(SHAPE[::-1], np.float32)), str(tmp_path / "scan.mha"))
    with pytest.raises(ValueError, match=r"scan\.mha: expected 3 values per voxel, got 1"):
        read_displacement(tmp_path / "scan.mha")


@pytest.mark.slow
def test_a_field_at_clinical_size_is_written_whole(tmp_path: Path) -> None:
    coarse = 10 * torch.randn(1, 3, 12, 12, 6, generator=torch.Generator().manual_seed(0))
    fine = torch.nn.functional.interpolate(coarse, size=(512, 512, 120), mode="trilinear")[0]
    write_displacement(tmp_path / "displacement.nii.gz", fine, torch.eye(4))
    read, _ = read_displacement(tmp_path / "displacement.nii.gz")
    assert (read - fine).abs().max() <= PRECISION_MM / 2


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("kind", [sitk.sitkVectorFloat64, sitk.sitkVectorInt16], ids=["float64", "int16"])
def test_fields_of_other_component_types_are_read(tmp_path: Path, oblique: Tensor, suffix: str, kind: int) -> None:
    whole_mm = torch.randint(-30, 30, (3, *SHAPE), generator=torch.Generator().manual_seed(0)).float()
    write_displacement(tmp_path / f"float32{suffix}", whole_mm, oblique)
    image = sitk.Cast(sitk.ReadImage(tmp_path / f"float32{suffix}"), kind)
    sitk.WriteImage(image, tmp_path / f"other{suffix}")
    read, affine = read_displacement(tmp_path / f"other{suffix}")
    torch.testing.assert_close(read, whole_mm)
    torch.testing.assert_close(affine, oblique, atol=2e-4, rtol=0)
