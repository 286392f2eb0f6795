from __future__ import annotations

import logging
from pathlib import Path

import itk
import numpy as np
import pydicom
import pytest
import SimpleITK as sitk
import torch
from monai.transforms import LoadImaged
from pydicom.data import get_testdata_file
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    RLELossless,
)

from bundle.io import ScanReader, check_header, read_image
from tests.formats.dicom.conftest import IDENTITY, SHAPE, edit, hu, write_enhanced, write_object, write_series
from tests.io.conftest import make_affine, write_dicom_series

DEFLATED, IMPLICIT, BIG = DeflatedExplicitVRLittleEndian, ImplicitVRLittleEndian, ExplicitVRBigEndian


def simple_itk(folder: Path) -> sitk.Image:
    reader = sitk.ImageSeriesReader()
    reader.SetFileNames(reader.GetGDCMSeriesFileNames(str(folder)))
    return reader.Execute()


def rewrite(file: Path, syntax: str) -> None:
    """Write a file in another transfer syntax."""
    data = pydicom.dcmread(file)
    if syntax == RLELossless:
        data.compress(RLELossless, generate_instance_uid=False)
        data.save_as(file)
        return
    if syntax == BIG:
        data.PixelData = data.pixel_array.astype(">i2").tobytes()
    data.file_meta.TransferSyntaxUID = syntax
    pydicom.dcmwrite(file, data, implicit_vr=syntax == IMPLICIT, little_endian=syntax != BIG)


@pytest.mark.parametrize("angles_deg", [(0, 0, 180), (0, 0, 0), (180, 0, 0), (0, 90, 0), (20, -15, 35)])
def test_a_series_is_read_in_hounsfield_units_on_its_oblique_grid(
    tmp_path: Path, angles_deg: tuple[float, float, float]
) -> None:
    affine = make_affine(angles_deg=angles_deg)
    write_series(tmp_path / "series", affine=affine)
    header = check_header(tmp_path / "series")
    assert header.shape == SHAPE
    assert header.spacing_mm == pytest.approx((0.7, 1.1, 2.5), abs=1e-4)
    torch.testing.assert_close(header.affine, affine, atol=1e-3, rtol=0)
    image = read_image(tmp_path / "series")
    torch.testing.assert_close(image.affine, header.affine, atol=1e-5, rtol=0)
    np.testing.assert_array_equal(image[0].numpy(), hu())


def test_a_series_is_what_simple_itk_reads(tmp_path: Path) -> None:
    """Slope and intercept that are no whole numbers, an oblique grid, names against the order."""
    files = write_series(tmp_path, affine=make_affine(), RescaleSlope="0.8125", RescaleIntercept="-1000.5")
    for index, file in enumerate(files):
        file.rename(file.with_name(f"slice{(index * 7) % 10}"))
    image, expected = read_image(tmp_path), simple_itk(tmp_path)
    np.testing.assert_array_equal(image[0].numpy(), sitk.GetArrayFromImage(expected).T.astype(np.float32))
    corner = expected.TransformIndexToPhysicalPoint((7, 8, 9))
    ours = image.affine.double() @ torch.tensor([7.0, 8.0, 9.0, 1.0], dtype=torch.float64)
    np.testing.assert_allclose(ours[:3], np.array(corner) * [-1, -1, 1], atol=1e-4)


def test_every_slice_has_its_own_rescaling(tmp_path: Path) -> None:
    files = write_series(tmp_path)
    for index, file in enumerate(files):
        edit(file, RescaleSlope=1 + index / 4, RescaleIntercept=-1024 + index)
    expected = (hu() + 1024) * (1 + np.arange(10) / 4) - 1024 + np.arange(10)
    np.testing.assert_array_equal(read_image(tmp_path)[0].numpy(), expected.astype(np.float32))


@pytest.mark.parametrize(
    "order", [range(10), range(9, -1, -1), [3, 1, 4, 0, 5, 9, 2, 6, 8, 7]], ids=["rising", "falling", "shuffled"]
)
@pytest.mark.parametrize("slopes", [None, [1.0 + n / 4 for n in range(10)]], ids=["one", "many"])
def test_an_enhanced_file_is_read_in_any_order_of_its_frames(
    tmp_path: Path, order: range | list[int], slopes: list[float] | None
) -> None:
    slices = write_series(tmp_path / "classic", affine=make_affine())
    write_enhanced(tmp_path / "enhanced.dcm", slices, order, slopes=slopes)
    expected, image = read_image(tmp_path / "classic"), read_image(tmp_path / "enhanced.dcm")
    torch.testing.assert_close(image.affine, expected.affine, atol=1e-6, rtol=0)
    slope_of = {index: slopes[frame] for frame, index in enumerate(order)} if slopes else {}
    scaled = (hu() + 1024) * np.array([slope_of.get(index, 1.0) for index in range(10)]) - 1024
    np.testing.assert_array_equal(image[0].numpy(), scaled.astype(np.float32))


def test_a_chosen_phase_is_read(tmp_path: Path) -> None:
    for number in (1, 2):
        write_series(tmp_path / str(number), seed=number, SeriesInstanceUID="1.2.3", AcquisitionNumber=number)
    np.testing.assert_array_equal(read_image(tmp_path, "1.2.3#2")[0].numpy(), hu(2))
    loaded = ScanReader("#1").read(tmp_path)
    np.testing.assert_array_equal(itk.array_from_image(loaded).T, hu(1))


def test_a_choice_of_series_needs_dicom(tmp_path: Path) -> None:
    sitk.WriteImage(sitk.GetImageFromArray(hu()), str(tmp_path / "scan.mha"))
    with pytest.raises(
        ValueError, match=r"scan\.mha: expected a DICOM folder to choose series 'thorax' from, found a fi"
    ):
        read_image(tmp_path / "scan.mha", "thorax")


@pytest.mark.parametrize("syntax", [RLELossless, DEFLATED, IMPLICIT, BIG], ids=["rle", "deflated", "implicit", "big"])
def test_files_that_pydicom_writes_in_other_syntaxes_are_read(tmp_path: Path, syntax: str) -> None:
    for file in write_series(tmp_path):
        rewrite(file, syntax)
    assert pydicom.dcmread(file).file_meta.TransferSyntaxUID == syntax
    np.testing.assert_array_equal(read_image(tmp_path)[0].numpy(), hu())


def compress(file: Path, kind: int) -> str:
    """Compress a slice by GDCM, keeping its other attributes; returns the UID of the syntax."""
    data = pydicom.dcmread(file)
    writer = itk.GDCMImageIO.New()
    writer.SetUseCompression(True)
    writer.SetCompressionType(kind)
    stored = itk.image_from_array(data.pixel_array.astype(np.int16))
    made = file.with_suffix(".made.dcm")
    itk.imwrite(stored, str(made), imageio=writer, compression=True)
    other = pydicom.dcmread(made)
    data.file_meta.TransferSyntaxUID = other.file_meta.TransferSyntaxUID
    data.PixelData = other.PixelData
    data["PixelData"].VR, data["PixelData"].is_undefined_length = "OB", True
    data.save_as(file)
    made.unlink()
    return str(data.file_meta.TransferSyntaxUID)


@pytest.mark.parametrize(
    ("kind", "syntax"),
    [(0, "1.2.840.10008.1.2.4.70"), (1, "1.2.840.10008.1.2.4.90")],
    ids=["jpeg", "jpeg2000"],
)
def test_lossless_compression_changes_no_voxel(tmp_path: Path, kind: int, syntax: str) -> None:
    assert {compress(file, kind) for file in write_series(tmp_path)} == {syntax}
    np.testing.assert_array_equal(read_image(tmp_path)[0].numpy(), hu())


@pytest.mark.parametrize("name", ["jpeg_ls_lossless", "RLE", "jp2klossless"])
def test_slices_that_others_compressed_are_read(tmp_path: Path, name: str) -> None:
    """The pixels of a file that pydicom brings, on our grid."""
    stored = pydicom.dcmread(get_testdata_file("MR_small.dcm")).pixel_array
    other = pydicom.dcmread(get_testdata_file(f"MR_small_{name}.dcm"))
    for file in write_dicom_series(tmp_path, np.zeros((64, 64, 3), np.int16), IDENTITY, intercept=-1024):
        data = pydicom.dcmread(file)
        data.file_meta.TransferSyntaxUID = other.file_meta.TransferSyntaxUID
        data.PixelData = other.PixelData
        data["PixelData"].VR, data["PixelData"].is_undefined_length = "OB", True
        data.save_as(file)
    np.testing.assert_array_equal(read_image(tmp_path)[0].numpy(), np.stack([stored.T - 1024.0] * 3, axis=-1))


@pytest.mark.parametrize("kept", [0.95, 0.9, 0.8])
def test_compressed_pixels_cut_short_are_refused_before_they_are_decoded(tmp_path: Path, kept: float) -> None:
    file = write_series(tmp_path)[4]
    rewrite(file, RLELossless)
    content = file.read_bytes()
    start = content.rindex(b"\xe0\x7f\x10\x00")
    file.write_bytes(content[: start + int(kept * (len(content) - start))])
    with pytest.raises(ValueError, match=r"004\.dcm: truncated or damaged: "):
        check_header(tmp_path)


def test_damaged_compressed_pixels_are_refused_with_their_syntax(tmp_path: Path) -> None:
    file = write_series(tmp_path)[4]
    compress(file, 0)
    content = file.read_bytes()
    start = content.rindex(b"\xff\xd8\xff")  # of the JPEG image
    file.write_bytes(content[: start + 2] + bytes(40) + content[start + 42 :])
    with pytest.raises(
        ValueError, match=r"004\.dcm: the pixels cannot be decoded, .*\(1\.2\.840\.10008\.1\.2\.4\.70 \(JPEG"
    ):
        read_image(tmp_path)


@pytest.mark.parametrize("padding", [-2000, 63536])
@pytest.mark.parametrize("limit", [None, -1990])
def test_padding_becomes_air(tmp_path: Path, padding: int, limit: int | None) -> None:
    for file in write_series(tmp_path):
        data = pydicom.dcmread(file)
        pixels = data.pixel_array.copy()
        pixels[:2], pixels[2] = -2000, -1995
        data.PixelData = pixels.tobytes()
        data.add_new("PixelPaddingValue", "SS" if padding < 0 else "US", padding)
        if limit is not None:
            data.add_new("PixelPaddingRangeLimit", "SS", limit)
        data.save_as(file)
    expected = hu().astype(np.float32)
    expected[:, :2] = -1000
    expected[:, 2] = -1995 - 1024 if limit is None else -1000
    np.testing.assert_array_equal(read_image(tmp_path)[0].numpy(), expected)


def test_a_padding_value_of_tissue_is_ignored_with_a_warning(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    for file in write_series(tmp_path):
        data = pydicom.dcmread(file)
        data.add_new("PixelPaddingValue", "SS", 1064)
        data.save_as(file)
    caplog.set_level(logging.WARNING)
    np.testing.assert_array_equal(read_image(tmp_path)[0].numpy(), hu())
    assert "PixelPaddingValue is a value of tissue (40 HU); it is ignored" in caplog.text


@pytest.mark.parametrize("is_signed", [False, True])
@pytest.mark.parametrize("overlay", [0x0000, 0x5000, 0xF000], ids=hex)
def test_bits_above_the_stored_twelve_do_not_matter(tmp_path: Path, overlay: int, is_signed: bool) -> None:
    """Old scanners keep an overlay there."""
    for file in write_series(tmp_path):
        offset = 1024 if is_signed else 0
        stored = (pydicom.dcmread(file).pixel_array - offset).astype(np.uint16) & 0x0FFF | overlay
        edit(file, PixelRepresentation=int(is_signed), BitsStored=12, HighBit=11, PixelData=stored.tobytes())
        edit(file, RescaleIntercept=offset - 1024)
    np.testing.assert_array_equal(read_image(tmp_path)[0].numpy(), hu())


def test_slices_with_and_without_a_sign_may_be_mixed(tmp_path: Path) -> None:
    for file in write_series(tmp_path)[::2]:
        stored = pydicom.dcmread(file).pixel_array
        edit(file, PixelRepresentation=0, PixelData=stored.astype(np.uint16).tobytes())
    for file in sorted(tmp_path.iterdir())[1::2]:
        stored = pydicom.dcmread(file).pixel_array - 1024
        edit(file, RescaleIntercept=0, PixelData=stored.astype(np.int16).tobytes())
    np.testing.assert_array_equal(read_image(tmp_path)[0].numpy(), hu())


@pytest.mark.parametrize("compression", [None, RLELossless, JPEG2000Lossless])
def test_a_display_from_white_to_black_does_not_change_hounsfield_units(
    tmp_path: Path, compression: str | None
) -> None:
    """MONOCHROME1: ITK's GDCM reader turns the values upside down."""
    for file in write_series(tmp_path):
        edit(file, PhotometricInterpretation="MONOCHROME1")
        if compression == RLELossless:
            rewrite(file, compression)
        elif compression:
            compress(file, 1)
    np.testing.assert_array_equal(read_image(tmp_path)[0].numpy(), hu())


@pytest.mark.parametrize(("dtype", "slope"), [("<u1", 8), ("<i4", 1), ("<f4", 1)], ids=["8 bits", "32 bits", "float"])
def test_pixels_of_other_sizes_are_read(tmp_path: Path, dtype: str, slope: int) -> None:
    bits = 8 * np.dtype(dtype).itemsize
    for file in write_series(tmp_path, RescaleSlope=slope):
        data = pydicom.dcmread(file)
        stored = (data.pixel_array // slope).astype(dtype)
        data.BitsAllocated = data.BitsStored = bits
        data.HighBit, data.PixelRepresentation = bits - 1, int(dtype == "<i4")
        if dtype == "<f4":
            del data.PixelData, data.BitsStored, data.HighBit, data.PixelRepresentation
            data.FloatPixelData = stored.tobytes()
        else:
            data.PixelData = stored.tobytes()
            data["PixelData"].VR = "OB" if bits == 8 else "OW"
        data.save_as(file)
    expected = (hu().astype(int) + 1024) // slope * slope - 1024
    np.testing.assert_array_equal(read_image(tmp_path)[0].numpy(), expected)


def test_a_file_without_a_meta_header_is_read(tmp_path: Path) -> None:
    for file in write_series(tmp_path):
        data = pydicom.dcmread(file)
        del data.file_meta
        data.preamble = None
        data.save_as(file, implicit_vr=True, little_endian=True)
    np.testing.assert_array_equal(read_image(tmp_path)[0].numpy(), hu())


@pytest.mark.parametrize("syntax", [RLELossless, DEFLATED, IMPLICIT, BIG], ids=["rle", "deflated", "implicit", "big"])
def test_shuffled_enhanced_frames_are_read_in_other_syntaxes(tmp_path: Path, syntax: str) -> None:
    slices = write_series(tmp_path / "classic", affine=make_affine())
    file = tmp_path / "enhanced"
    write_enhanced(file, slices, [3, 1, 4, 0, 5, 9, 2, 6, 8, 7])
    rewrite(file, syntax)
    np.testing.assert_array_equal(read_image(file)[0].numpy(), hu())


@pytest.mark.parametrize("name", ["胸部 CT", "Thorax über", ""])
def test_the_metadata_names_the_series(tmp_path: Path, name: str) -> None:
    write_series(tmp_path, SpecificCharacterSet="ISO_IR 192", SeriesInstanceUID="1.2.3", SeriesDescription=name)
    meta = read_image(tmp_path).meta
    assert (meta["dicom_series"], meta["dicom_description"], meta["dicom_phase"]) == ("1.2.3", name, "")


def test_what_is_no_scan_beside_the_series_changes_nothing(tmp_path: Path) -> None:
    write_series(tmp_path / "scan")
    write_object(tmp_path / "dose.dcm", "1.2.840.10008.5.1.4.1.1.481.2", "RTDOSE")
    np.testing.assert_array_equal(read_image(tmp_path)[0].numpy(), hu())


def test_monais_loader_reads_the_same(tmp_path: Path) -> None:
    write_series(tmp_path)
    loaded = LoadImaged("fixed", reader="bundle.io.ScanReader", ensure_channel_first=True)({"fixed": tmp_path})["fixed"]
    expected = read_image(tmp_path)
    torch.testing.assert_close(loaded.as_tensor(), expected.as_tensor(), atol=0, rtol=0)
    torch.testing.assert_close(loaded.affine, expected.affine, atol=0, rtol=0)
