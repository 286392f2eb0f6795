import hashlib
import warnings
from pathlib import Path

import itk
import nibabel as nib
import numpy as np
import pytest
import SimpleITK as sitk
import torch
from monai.data import MetaTensor
from monai.transforms import LoadImaged, Orientation
from torch import Tensor

from bundle.io import check_scan, compact, content_sha256, read_image, write_image
from bundle.io.headers import itk_from_affine
from tests.grids import make_affine as grid_affine
from tests.io.conftest import SHAPE, make_affine


def write_with_simpleitk(path: Path, voxels: np.ndarray, affine: Tensor) -> None:
    image = sitk.GetImageFromArray(voxels.T)
    spacing, direction, origin = itk_from_affine(affine)
    image.SetSpacing(spacing)
    image.SetDirection(direction.ravel().tolist())
    image.SetOrigin(origin)
    sitk.WriteImage(image, path)


@pytest.mark.parametrize("dtype", ["int8", "uint8", "int16", "uint16", "int32", "int64", "float32", "float64"])
@pytest.mark.parametrize("suffix", [".nii.gz", ".mha", ".nrrd"])
def test_every_voxel_type_is_read_as_float32_with_the_ras_affine(tmp_path: Path, suffix: str, dtype: str) -> None:
    voxels = np.arange(720).reshape(SHAPE).astype(np.int8).astype(dtype)
    affine = make_affine(flip=(1, -1, 1))
    write_with_simpleitk(tmp_path / f"scan{suffix}", voxels, affine)
    image = read_image(tmp_path / f"scan{suffix}")
    assert image.shape == (1, *SHAPE)
    assert image.dtype == torch.float32
    np.testing.assert_array_equal(image[0].numpy(), voxels)
    torch.testing.assert_close(image.affine, affine, atol=2e-4, rtol=0)


def test_the_reader_of_the_configs_gives_the_same(tmp_path: Path, scan_hu: np.ndarray, oblique: Tensor) -> None:
    write_image(tmp_path / "scan.nii.gz", scan_hu, oblique, dtype=np.int16)
    load = LoadImaged("fixed", reader="bundle.io.ScanReader", ensure_channel_first=True)
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # MONAI warns when it cannot construct a reader as told
        image = load({"fixed": tmp_path / "scan.nii.gz"})["fixed"]
    expected = read_image(tmp_path / "scan.nii.gz")
    torch.testing.assert_close(image.as_tensor(), expected.as_tensor())
    torch.testing.assert_close(image.affine, expected.affine)


@pytest.mark.parametrize("suffix", [".nii.gz", ".mha"])
def test_a_trailing_axis_of_one_is_dropped(tmp_path: Path, scan_hu: np.ndarray, suffix: str) -> None:
    itk.imwrite(
        itk.image_from_array(np.ascontiguousarray(scan_hu.T[None], np.float32)), str(tmp_path / f"scan{suffix}")
    )
    image = read_image(tmp_path / f"scan{suffix}")
    np.testing.assert_array_equal(image[0].numpy(), scan_hu)


def test_nifti_scaling_is_applied(tmp_path: Path, scan_hu: np.ndarray) -> None:
    nifti = nib.Nifti1Image((scan_hu + 1024).astype(np.int16), np.eye(4))
    nifti.header.set_slope_inter(1.0, -1024.0)
    nib.save(nifti, tmp_path / "scan.nii.gz")
    content = nib.load(tmp_path / "scan.nii.gz").get_fdata()
    np.testing.assert_array_equal(read_image(tmp_path / "scan.nii.gz")[0].numpy(), content)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_nan_and_infinite_voxels_are_counted_and_located(tmp_path: Path, scan_hu: np.ndarray, value: float) -> None:
    voxels = scan_hu.astype(np.float32)
    voxels[1, 2, 3] = voxels[4, 0, 0] = value
    write_image(tmp_path / "scan.nii.gz", voxels, torch.eye(4))
    with pytest.raises(
        ValueError, match=r"scan\.nii\.gz: 2 voxels are NaN or infinite, the first at index \(1, 2, 3\)"
    ):
        read_image(tmp_path / "scan.nii.gz")


def test_a_constant_image_is_refused(tmp_path: Path) -> None:
    write_image(tmp_path / "scan.nii.gz", np.full(SHAPE, -1000), torch.eye(4))
    with pytest.raises(ValueError, match=r"scan\.nii\.gz: constant image: every voxel is -1000"):
        read_image(tmp_path / "scan.nii.gz")


def test_a_loaded_scan_with_channels_or_sheared_axes_is_refused() -> None:
    voxels = torch.rand(2, *SHAPE)
    with pytest.raises(ValueError, match=r"image: expected a volume \(1, H, W, D\), got \(2, 8, 9, 10\)"):
        check_scan(MetaTensor(voxels))
    sheared = torch.eye(4)
    sheared[0, 1] = 0.2
    with pytest.raises(ValueError, match="not orthonormal"):
        check_scan(MetaTensor(voxels[:1], affine=sheared))


@pytest.mark.parametrize("flip", [(1, 1, 1), (-1, 1, 1), (-1, -1, 1)])
@pytest.mark.parametrize("suffix", [".nii", ".nii.gz"])
def test_written_images_have_one_geometry_for_itk_and_nibabel(
    tmp_path: Path, scan_hu: np.ndarray, suffix: str, flip: tuple[int, int, int]
) -> None:
    affine = make_affine(flip=flip)
    path = tmp_path / f"warped{suffix}"
    write_image(path, torch.from_numpy(scan_hu).float() + 0.25, affine)
    nifti = nib.load(path)
    np.testing.assert_array_equal(nifti.get_fdata(), scan_hu + 0.25)
    for form in (nifti.get_sform(coded=True), nifti.get_qform(coded=True)):
        assert form[1] == 1
        np.testing.assert_allclose(form[0], affine.numpy(), atol=2e-4)
    image = sitk.ReadImage(path)
    np.testing.assert_array_equal(sitk.GetArrayFromImage(image).T, scan_hu + 0.25)
    corner = image.TransformIndexToPhysicalPoint([7, 8, 9])
    expected = (affine @ torch.tensor([7.0, 8, 9, 1], dtype=torch.float64))[:3] * torch.tensor([-1, -1, 1])
    assert corner == pytest.approx(expected.tolist(), abs=1e-3)


def test_integers_are_rounded_and_clipped(tmp_path: Path) -> None:
    voxels = np.zeros(SHAPE, np.float32)
    voxels[0, 0, :4] = [1.5, 2.5, 1e6, -1e6]
    write_image(tmp_path / "scan.nii.gz", voxels, torch.eye(4), dtype=np.int16)
    nifti = nib.load(tmp_path / "scan.nii.gz")
    assert nifti.get_data_dtype() == np.int16
    assert nifti.get_fdata()[0, 0, :4].tolist() == [2, 2, 32767, -32768]


def test_only_volumes_and_nifti_names_are_written(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"expected a volume \(H, W, D\), got \(1, 8, 9, 10\)"):
        write_image(tmp_path / "scan.nii.gz", torch.zeros(1, *SHAPE), torch.eye(4))
    with pytest.raises(ValueError, match=r"scan\.png: expected a name ending in \.nii or \.nii\.gz"):
        write_image(tmp_path / "scan.png", torch.zeros(SHAPE), torch.eye(4))


def test_the_content_hash_depends_on_voxels_alone() -> None:
    scan = MetaTensor((torch.rand(1, 3, 4, 5) * 2000 - 1000).round(), affine=grid_affine((3, 4, 5), (1.0, 2.0, 3.0)))
    expected = hashlib.sha256(b"(3, 4, 5)\n" + scan[0].numpy().astype("<i2").tobytes()).hexdigest()
    assert content_sha256(scan) == expected
    turned = Orientation(axcodes="SPL", labels=None)(scan)
    moved = MetaTensor(scan.as_tensor() + 0.2, affine=grid_affine((3, 4, 5), (1.5, 2.0, 3.0), centre_mm=(9, 9, 9)))
    assert turned.shape != scan.shape
    assert content_sha256(turned) == content_sha256(moved) == expected
    assert content_sha256(scan + 1) != expected


def test_a_scan_of_whole_numbers_becomes_int16_and_any_other_stays(oblique: Tensor) -> None:
    voxels = torch.arange(-1024, 1016, 2).view(1, 10, 6, 17).float()
    image = MetaTensor(voxels, affine=oblique, meta={"filename_or_obj": "scan.nii"})
    stored = compact(image)
    assert stored.dtype == torch.int16
    assert torch.equal(stored.as_tensor().float(), voxels)
    assert torch.equal(stored.affine, image.affine)
    assert stored.meta["filename_or_obj"] == "scan.nii"
    for value in (0.5, 40000.0, -32769.0):
        image = MetaTensor(voxels.index_fill(3, torch.tensor([16]), value), affine=oblique)
        assert compact(image) is image
