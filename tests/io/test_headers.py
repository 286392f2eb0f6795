from pathlib import Path

import itk
import nibabel as nib
import numpy as np
import pytest
import SimpleITK as sitk
import torch
from torch import Tensor

from bundle.geometry import apply_affine, swap_ras_lps
from bundle.io import ImageHeader, check_header
from bundle.io.headers import affine_from_itk, itk_from_affine
from tests.io.conftest import SHAPE, make_affine

META = """ObjectType = Image
NDims = 3
BinaryData = True
BinaryDataByteOrderMSB = False
TransformMatrix = {matrix}
Offset = 0 0 0
ElementSpacing = {spacing}
DimSize = 8 9 10
ElementType = MET_SHORT
ElementDataFile = LOCAL
"""


def write_meta(path: Path, *, matrix: str = "1 0 0 0 1 0 0 0 1", spacing: str = "1 2 3") -> Path:
    path.write_bytes(META.format(matrix=matrix, spacing=spacing).encode() + bytes(2 * 8 * 9 * 10))
    return path


def write_raw_nifti(path: Path, **fields: float | np.ndarray) -> Path:
    """Write a NIfTI file with the given header fields, bypassing nibabel's repairs."""
    image = nib.Nifti1Image(np.zeros(SHAPE, np.int16), np.eye(4))
    nib.save(image, path)
    content = path.read_bytes()
    header = nib.Nifti1Header(content[:348], check=False)
    for name, value in fields.items():
        header[name] = value
    path.write_bytes(header.binaryblock + content[348:])
    return path


@pytest.mark.parametrize("suffix", [".nii", ".nii.gz", ".mha", ".mhd", ".nrrd"])
@pytest.mark.parametrize("flip", [(1, 1, 1), (-1, 1, 1), (-1, -1, -1)])
def test_the_header_has_the_affine_the_file_was_written_with(
    tmp_path: Path, suffix: str, flip: tuple[int, int, int]
) -> None:
    affine = make_affine(flip=flip)
    image = itk.image_from_array(np.zeros(SHAPE[::-1], np.int16))
    spacing, direction, origin = itk_from_affine(affine)
    image.SetSpacing(spacing)
    image.SetOrigin(origin)
    image.SetDirection(itk.matrix_from_array(direction))
    path = tmp_path / f"scan{suffix}"
    itk.imwrite(image, str(path))
    header = check_header(path)
    assert header.shape == SHAPE
    torch.testing.assert_close(header.affine, affine, atol=2e-4, rtol=0)
    assert header.spacing_mm == pytest.approx((0.7, 1.1, 2.5), abs=1e-5)
    if ".nii" in suffix:
        np.testing.assert_allclose(header.affine.numpy(), nib.load(path).affine, atol=2e-4)


def test_itk_geometry_and_affine_are_inverses(oblique: Tensor) -> None:
    torch.testing.assert_close(affine_from_itk(*itk_from_affine(oblique)), oblique)


def test_a_trailing_axis_of_one_is_no_fourth_dimension(tmp_path: Path) -> None:
    nib.save(nib.Nifti1Image(np.zeros((*SHAPE, 1), np.int16), np.eye(4)), tmp_path / "scan.nii.gz")
    assert check_header(tmp_path / "scan.nii.gz").shape == SHAPE


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"none\.nii\.gz: no such file"):
        check_header(tmp_path / "none.nii.gz")


@pytest.mark.parametrize("name", ["scan.nii.gz", "scan.nii", "scan.mha", "scan.nrrd", "scan.xyz"])
def test_a_file_that_is_no_image_is_refused(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text("this is no image")
    with pytest.raises(ValueError, match=rf"{name}.*(cannot be read|unreadable header)"):
        check_header(tmp_path / name)


@pytest.mark.parametrize("suffix", [".nii.gz", ".mha", ".nrrd"])
def test_a_4d_image_is_refused(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"scan{suffix}"
    itk.imwrite(itk.image_from_array(np.zeros((2, *SHAPE), np.float32)), str(path))
    with pytest.raises(ValueError, match=r"expected one 3-D volume, got an image of shape \(10, 9, 8, 2\)"):
        check_header(path)


def test_a_slice_is_refused(tmp_path: Path) -> None:
    itk.imwrite(itk.image_from_array(np.zeros((9, 8), np.uint8)), str(tmp_path / "slice.png"))
    with pytest.raises(ValueError, match=r"expected one 3-D volume, got an image of shape \(8, 9\)"):
        check_header(tmp_path / "slice.png")


@pytest.mark.parametrize("suffix", [".nii.gz", ".mha", ".nrrd"])
def test_rgb_and_vector_images_are_refused(tmp_path: Path, suffix: str) -> None:
    rgb = sitk.GetImageFromArray(np.zeros((*SHAPE, 3), np.uint8), isVector=True)
    vectors = sitk.GetImageFromArray(np.zeros((*SHAPE, 3), np.float32), isVector=True)
    for image in (rgb, vectors):
        sitk.WriteImage(image, tmp_path / f"scan{suffix}")
        with pytest.raises(ValueError, match=r"RGB|expected one 3-D volume"):
            check_header(tmp_path / f"scan{suffix}")


@pytest.mark.parametrize("spacing", ["1 1 0", "1 -2 3", "1 nan 3"])
def test_a_spacing_not_above_zero_is_refused(tmp_path: Path, spacing: str) -> None:
    with pytest.raises(ValueError, match=r"expected a spacing above 0 mm on every axis, got \(1, "):
        check_header(write_meta(tmp_path / "scan.mha", spacing=spacing))


@pytest.mark.parametrize("pixdim_z", [0, -2.5, np.nan])
def test_a_nifti_spacing_is_refused_although_the_libraries_repair_it(tmp_path: Path, pixdim_z: float) -> None:
    path = write_raw_nifti(tmp_path / "scan.nii", pixdim=np.array([1, 1, 1, pixdim_z, 0, 0, 0, 0]))
    with pytest.raises(ValueError, match=r"scan\.nii: expected a spacing above 0 mm on every axis, got \(1, 1, "):
        check_header(path)


@pytest.mark.parametrize("matrix", ["1 0.2 0 0 1 0 0 0 1", "1 0 0 0 2 0 0 0 1", "1 0 0 0 0 0 0 0 1"])
def test_a_direction_that_is_not_orthonormal_is_refused(tmp_path: Path, matrix: str) -> None:
    with pytest.raises(ValueError, match=r"scan\.mha: the direction is not orthonormal"):
        check_header(write_meta(tmp_path / "scan.mha", matrix=matrix))


@pytest.mark.parametrize("qform_code", [0, 1])
def test_a_sheared_sform_is_refused_although_itk_would_fall_back_on_the_qform(tmp_path: Path, qform_code: int) -> None:
    path = write_raw_nifti(tmp_path / "scan.nii", srow_x=np.array([1, 0.2, 0, 0]), qform_code=qform_code)
    with pytest.raises(ValueError, match=r"scan\.nii \(sform\): the direction is not orthonormal"):
        check_header(path)


def test_a_voxel_size_that_differs_between_pixdim_and_sform_is_refused(tmp_path: Path) -> None:
    path = write_raw_nifti(tmp_path / "scan.nii", srow_z=np.array([0, 0, 2.5, 0]))
    with pytest.raises(ValueError, match=r"voxel size \(1, 1, 1\) mm in pixdim but \(1, 1, 2\.5\) mm in sform"):
        check_header(path)


def test_sform_and_qform_that_differ_pass_with_a_warning(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    check_header(write_raw_nifti(tmp_path / "scan.nii", qform_code=1, qoffset_x=5.0))
    assert "sform and qform differ; ITK's choice is used" in caplog.text


def test_a_nifti_without_orientation_passes_with_a_warning(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    check_header(write_raw_nifti(tmp_path / "scan.nii", sform_code=0, qform_code=0))
    assert "neither qform nor sform is set" in caplog.text


def test_an_unpacked_twin_beside_a_packed_nifti_is_refused(tmp_path: Path) -> None:
    for value, name in enumerate(("scan.nii", "scan.nii.gz")):
        nib.save(nib.Nifti1Image(np.full(SHAPE, value, np.int16), np.eye(4)), tmp_path / name)
    assert itk.array_from_image(itk.imread(str(tmp_path / "scan.nii.gz"))).max() == 0  # ITK 5.4 reads the wrong file
    with pytest.raises(ValueError, match=r"scan\.nii\.gz: ITK would read the voxels of scan\.nii"):
        check_header(tmp_path / "scan.nii.gz")


def test_an_image_contains_the_points_that_itk_finds_in_it(oblique: Tensor) -> None:
    image = sitk.Image(list(SHAPE), sitk.sitkInt16)
    spacing, direction, origin = itk_from_affine(oblique)
    image.SetSpacing(spacing)
    image.SetDirection(direction.ravel().tolist())
    image.SetOrigin(origin)
    vox = torch.rand(400, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64) * 2 - 0.5
    points_mm = apply_affine(oblique, vox * torch.tensor(SHAPE))
    found = [image.TransformPhysicalPointToContinuousIndex(point) for point in swap_ras_lps(points_mm).tolist()]
    expected = [all(-0.5 <= x <= side - 0.5 for x, side in zip(at, SHAPE, strict=True)) for at in found]
    contained = ImageHeader("a", SHAPE, oblique).contains(points_mm)
    assert contained.tolist() == expected
    assert 0 < contained.sum() < 400
