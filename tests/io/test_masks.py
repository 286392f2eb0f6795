from __future__ import annotations

import gzip
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import SimpleITK as sitk
import torch
from monai.data import MetaTensor
from monai.transforms import LoadImage
from torch import Tensor

from bundle.io import (
    ImageHeader,
    ScanReader,
    check_header,
    check_mask,
    check_mask_file,
    check_whole_numbers,
    fit_mask,
    read_labels,
    read_mask,
)
from tests.grids import LPS, from_sitk, make_affine, to_sitk

SHAPE = (24, 20, 16)
GRID = make_affine(SHAPE, (1.0, 1.5, 2.5), angles_deg=(10, -20, 30), flip=(-1, 1, 1), centre_mm=(-30.0, 80.0, -900.0))
SCAN = ImageHeader("scan.nii.gz", SHAPE, GRID)


def ball() -> Tensor:
    i, j, k = torch.meshgrid(*[torch.arange(float(size)) for size in SHAPE], indexing="ij")
    return (((i - 11) / 7) ** 2 + ((j - 9) / 6) ** 2 + ((k - 8) / 5) ** 2 < 1).float()


def moved(affine: Tensor, *, vox: tuple[float, float, float]) -> Tensor:
    result = affine.clone()
    result[:3, 3] += affine[:3, :3] @ torch.tensor(vox, dtype=torch.float64)
    return result


def fit(image: sitk.Image, folder: Path, name: str = "mask.nrrd") -> Tensor:
    sitk.WriteImage(image, folder / name)
    scan = MetaTensor(torch.zeros(1, *SHAPE), affine=GRID, meta={"filename_or_obj": "scan.nii.gz"})
    fitted = fit_mask(read_labels(folder / name), scan)
    assert (fitted > 0).any()
    return fitted[0].as_tensor().double()


def test_flipped_axes_a_rounded_origin_and_a_crop_give_the_mask_itself(tmp_path: Path) -> None:
    mask = sitk.Cast(to_sitk(ball(), GRID), sitk.sitkUInt8)
    nudged = sitk.Cast(to_sitk(ball(), GRID), sitk.sitkInt16)
    nudged.SetOrigin([value + 0.005 for value in nudged.GetOrigin()])
    cropped = mask[4:19, 3:16, 3:14]
    swapped = sitk.PermuteAxes(mask, (2, 0, 1))
    for image in (mask, sitk.Flip(mask, (True, True, False), False), nudged, cropped, swapped):
        assert torch.equal(fit(image, tmp_path), ball().double())
    assert torch.equal(fit(cropped, tmp_path, "lungs.seg.nrrd"), ball().double())


def test_another_spacing_is_resampled_as_simpleitk_does_with_nearest_neighbours(tmp_path: Path) -> None:
    affine = make_affine((30, 31, 33), (0.9, 1.1, 1.3), angles_deg=(5, -25, 20), centre_mm=(-30.0, 80.0, -900.0))
    scan = sitk.Cast(to_sitk(ball(), GRID), sitk.sitkUInt8)
    fine = sitk.Resample(scan, to_sitk(torch.zeros(30, 31, 33), affine), sitk.Transform(), sitk.sitkNearestNeighbor)
    expected = from_sitk(sitk.Resample(fine, scan, sitk.Transform(), sitk.sitkNearestNeighbor))
    assert (fit(fine, tmp_path) != expected).double().mean() < 1e-3  # ties of rounding


@pytest.mark.parametrize(
    ("shape", "affine", "reason"),
    [
        (SHAPE, moved(GRID, vox=(600, 0, 0)), r", with corners \d+\.\d mm apart though the shapes are equal"),
        (SHAPE, moved(GRID, vox=(0, 0, 3)), r", with corners 7\.5 mm apart though the shapes are equal"),
        (SHAPE, torch.eye(4, dtype=torch.float64), ", with corners .* apart though the shapes are equal"),
        ((9, 10, 11), moved(GRID, vox=(0, 0, 15)), ""),
    ],
    ids=["far away", "another scan of the same kind", "lost geometry", "barely overlapping"],
)
def test_a_mask_in_another_place_is_refused_with_both_files_and_positions(
    shape: tuple[int, int, int], affine: Tensor, reason: str
) -> None:
    message = (
        rf"mask\.mha: the mask lies in another place than its scan scan\.nii\.gz{reason}: expected it within x .*mm"
    )
    with pytest.raises(ValueError, match=message):
        check_mask(ImageHeader("mask.mha", shape, affine), SCAN)


def test_a_mask_that_lies_outside_its_scan_within_a_large_grid_is_refused() -> None:
    mask = torch.zeros(1, 80, 80, 80)
    mask[:, :8, :8, :8] = 1
    large = MetaTensor(mask, affine=moved(GRID, vox=(-28, -30, -32)), meta={"filename_or_obj": "mask.nii"})
    scan = MetaTensor(torch.zeros(1, *SHAPE), affine=GRID, meta={"filename_or_obj": "scan.nii.gz"})
    with pytest.raises(ValueError, match=r"mask\.nii: expected a mask within its scan scan\.nii\.gz, found 0 of 2 ml"):
        fit_mask(large, scan)


@pytest.mark.parametrize("kind", [np.uint8, np.uint16, np.uint32, np.float32])
@pytest.mark.parametrize("shift_mm", [0.0, 0.005])
def test_masks_of_every_type_can_be_computed_with(shift_mm: float, kind: type, tmp_path: Path) -> None:
    image = to_sitk(ball() * 2, GRID)
    image.SetOrigin([value + shift_mm for value in image.GetOrigin()])
    types = {np.uint8: sitk.sitkUInt8, np.uint16: sitk.sitkUInt16, np.uint32: sitk.sitkUInt32}
    fitted = fit(sitk.Cast(image, types.get(kind, sitk.sitkFloat32)), tmp_path)
    assert torch.equal(fitted, ball().double() * 2)


def write_layers(path: Path, layers: list[Tensor], affine: Tensor) -> None:
    """A segmentation with a first axis of layers, as 3D Slicer writes it: header by hand, gzip, LPS."""
    columns, origin = LPS @ affine[:3, :3].numpy(), LPS @ affine[:3, 3].numpy()
    *vectors, place = ["(" + ",".join(map(str, values.tolist())) + ")" for values in (*columns.T, origin)]
    header = (
        "NRRD0005", "type: unsigned char", "dimension: 4", "space: left-posterior-superior",
        f"sizes: {len(layers)} {' '.join(map(str, layers[0].shape))}", f"space directions: none {' '.join(vectors)}",
        "kinds: list domain domain domain", "encoding: gzip", f"space origin: {place}",
        *(f"Segment{number}_Layer:={number}" for number in range(len(layers))), "", "",
    )  # fmt: skip
    voxels = torch.stack(layers).numpy().astype(np.uint8).tobytes(order="F")
    path.write_bytes("\n".join(header).encode() + gzip.compress(voxels))


def overlapping_parts() -> list[Tensor]:
    """Two parts of `ball` that overlap and make all of it."""
    low, high = ball(), ball()
    low[:, :, 10:], high[:, :, :7] = 0, 0
    return [low, high]


def test_the_layers_of_a_segmentation_are_one_mask_in_its_place(tmp_path: Path) -> None:
    path = tmp_path / "lungs.seg.nrrd"
    write_layers(path, [part[4:, :, 1:] for part in overlapping_parts()], moved(GRID, vox=(4, 0, 1)))
    scan = MetaTensor(torch.zeros(1, *SHAPE), affine=GRID, meta={"filename_or_obj": "scan.nii.gz"})
    check_mask(check_mask_file(path), SCAN)
    loaded = LoadImage(reader=ScanReader(), image_only=True, ensure_channel_first=True)(path)  # as configs do
    for mask in (read_mask(path), loaded):
        assert torch.equal(fit_mask(mask, scan)[0].as_tensor(), ball())
    with pytest.raises(ValueError, match=r"lungs\.seg\.nrrd: expected one value per voxel, got 2"):
        check_header(path)  # as a scan


def test_layers_become_labels_only_where_no_segment_is_lost(tmp_path: Path) -> None:
    path = tmp_path / "lobes.seg.nrrd"
    low, high = overlapping_parts()
    high[low > 0] = 0
    write_layers(path, [low * 3, high * 200], GRID)
    assert torch.equal(read_labels(path)[0].as_tensor(), (low * 3 + high * 200).byte())
    write_layers(path, [low, high], GRID)
    with pytest.raises(ValueError, match=r"lobes.*expected segments of one label map, found .* the same label value"):
        read_labels(path)
    low, high = overlapping_parts()
    write_layers(path, [low, high * 2], GRID)
    with pytest.raises(ValueError, match=r"lobes.*found some in 2 layers that overlap; export each"):
        read_labels(path)


@pytest.mark.parametrize(("low", "high"), [(-1000, 200), (0, 0)])
def test_a_scan_or_an_empty_volume_given_as_a_mask_is_refused(low: int, high: int) -> None:
    values = torch.full((1, *SHAPE), float(low))
    values[0, 5:9] = high
    mask, scan = [MetaTensor(values, affine=GRID, meta={"filename_or_obj": name}) for name in ("m.nii", "s.nii")]
    with pytest.raises(ValueError, match=rf"m\.nii: expected a mask, .*found values of {low} to {high}$"):
        fit_mask(mask, scan)


@pytest.mark.parametrize("kind", ["uint8", "int8", "uint16", "int16", "uint32", "int32", "uint64", "int64", ">i2"])
@pytest.mark.parametrize("suffix", [".nii.gz", ".nrrd"])
def test_labels_are_read_in_the_type_and_with_the_values_of_the_file(kind: str, suffix: str, tmp_path: Path) -> None:
    if kind == ">i2" and suffix != ".nii.gz":
        pytest.skip("SimpleITK writes in the byte order of the machine")
    values = np.zeros(SHAPE, kind)
    values[2:5, 3:9, 4:8] = min(int(np.iinfo(kind).max), 2**53 - 1)
    values[7:9, 3:9, 4:8] = 7
    if suffix == ".nii.gz":
        nib.save(nib.Nifti1Image(values, GRID.numpy(), dtype=np.dtype(kind)), tmp_path / "labels.nii.gz")
    else:
        sitk.WriteImage(sitk.GetImageFromArray(values.T), tmp_path / "labels.nrrd")
    read = read_labels(tmp_path / f"labels{suffix}").as_tensor().numpy()[0]
    assert read.dtype == np.dtype(kind).newbyteorder("=")
    np.testing.assert_array_equal(read, values)


@pytest.mark.parametrize("kind", [torch.uint8, torch.int32, torch.float32])
def test_labels_are_whole_numbers_of_any_type(kind: torch.dtype) -> None:
    check_whole_numbers(MetaTensor(torch.arange(8).view(1, 2, 2, 2).to(kind)), "labels.nii.gz")


@pytest.mark.parametrize("value", [1.5, float("nan")])
def test_labels_between_whole_numbers_are_refused(value: float) -> None:
    labels = MetaTensor(torch.tensor([0.0, 1.0, value, 2.0]).view(1, 2, 2, 1))
    with pytest.raises(ValueError, match=rf"labels\.nii\.gz: expected whole numbers, .* found {value}"):
        check_whole_numbers(labels, "labels.nii.gz")
