from __future__ import annotations

from pathlib import Path

import pydicom
import pytest
from pydicom.uid import ImplicitVRLittleEndian

from bundle.formats.dicom import find_volume
from bundle.formats.dicom.instances import Instance, read_instance
from tests.formats.dicom.conftest import SHAPE, edit, sequence, write_enhanced, write_series


def read(file: Path) -> Instance:
    instance = read_instance(file)
    assert instance is not None
    return instance


def test_a_classic_slice_is_one_frame(tmp_path: Path) -> None:
    file = write_series(tmp_path, SeriesDescription="Lung 1.0", ConvolutionKernel=["Br40", "3"])[4]
    instance = read(file)
    (frame,) = instance.frames
    assert (instance.modality, instance.description, instance.is_color) == ("CT", "Lung 1.0", False)
    assert (frame.shape, frame.spacing) == (SHAPE[:2], (0.7, 1.1))
    assert frame.position == pytest.approx((153.8, -120.4, -1424.5))
    assert (frame.slope, frame.intercept, frame.number) == (1.0, -1024.0, 5)
    assert frame.phase == {"SeriesDescription": "Lung 1.0", "ConvolutionKernel": "Br40/3"}


def test_frames_of_an_enhanced_file_have_their_own_position_and_rescaling(tmp_path: Path) -> None:
    slices = write_series(tmp_path / "classic")
    write_enhanced(tmp_path / "enhanced", slices, [3, 0, 1], slopes=[1.0, 0.5, 2.0], phases=[10, 20, 30])
    frames = read(tmp_path / "enhanced").frames
    expected = [read(slices[index]).frames[0] for index in (3, 0, 1)]
    assert [frame.position for frame in frames] == [frame.position for frame in expected]
    assert [frame.cosines for frame in frames] == [frame.cosines for frame in expected]
    assert [frame.slope for frame in frames] == [1.0, 0.5, 2.0]
    assert [frame.phase["NominalPercentageOfCardiacPhase"] for frame in frames] == ["10", "20", "30"]


@pytest.mark.parametrize("is_implicit", [False, True])
@pytest.mark.parametrize(
    ("value", "stored", "representation"), [(-2000, -2000, 1), (63536, -2000, 1), (63536, 63536, 0), (0, 0, 0)]
)
def test_padding_has_the_sign_of_the_pixels(
    tmp_path: Path, value: int, stored: int, representation: int, is_implicit: bool
) -> None:
    file = write_series(tmp_path)[0]
    data = pydicom.dcmread(file)
    data.PixelRepresentation = representation
    data.add_new("PixelPaddingValue", "SS" if value < 0 else "US", value)
    if is_implicit:
        data.file_meta.TransferSyntaxUID = ImplicitVRLittleEndian
        data.save_as(file, implicit_vr=True, little_endian=True)
    else:
        data.save_as(file)
    assert read(file).frames[0].padding == (stored, stored)


@pytest.mark.parametrize(
    ("keyword", "value", "message"),
    [
        ("ImagePositionPatient", b"1\\2", r"expected 3 finite numbers in ImagePositionPatient, found \(1\.0, 2\.0\)"),
        ("ImagePositionPatient", b"1\\2\\x ", r"unreadable DICOM header"),
        ("PixelSpacing", b"nan\\1 ", r"unreadable DICOM header|expected 2 finite numbers in PixelSpacing"),
        ("RescaleSlope", b"0 ", r"expected a RescaleSlope other than 0"),
        ("InstanceNumber", b"one ", r"unreadable DICOM header"),
    ],
)
def test_values_that_make_no_sense_are_refused(tmp_path: Path, keyword: str, value: bytes, message: str) -> None:
    file = write_series(tmp_path)[4]
    data = pydicom.dcmread(file)
    element = data[keyword]
    tag = element.tag
    old = file.read_bytes()
    start = old.index(tag.group.to_bytes(2, "little") + tag.element.to_bytes(2, "little") + element.VR.encode())
    length = int.from_bytes(old[start + 6 : start + 8], "little")
    file.write_bytes(old[: start + 6] + len(value).to_bytes(2, "little") + value + old[start + 8 + length :])
    with pytest.raises(ValueError, match=rf"004\.dcm: .*({message})|004\.dcm: ({message})"):
        find_volume(tmp_path)


def test_frames_and_functional_groups_must_agree(tmp_path: Path) -> None:
    slices = write_series(tmp_path / "classic")
    write_enhanced(tmp_path / "enhanced", slices, range(10))
    edit(tmp_path / "enhanced", NumberOfFrames=9)
    with pytest.raises(ValueError, match="expected 9 frames in PerFrameFunctionalGroupsSequence, found 10"):
        find_volume(tmp_path / "enhanced")


def test_an_enhanced_file_is_read_alone_and_in_a_folder(tmp_path: Path) -> None:
    slices = write_series(tmp_path / "classic")
    expected = find_volume(tmp_path / "classic").grid
    (tmp_path / "folder").mkdir()
    file = tmp_path / "folder" / "enhanced"
    order = [3, 1, 4, 0, 5, 9, 2, 6, 8, 7]
    write_enhanced(file, slices, order)
    for path in (file, file.parent):
        volume = find_volume(path)
        assert [order[frame.index] for frame in volume.frames] == list(range(10))
        assert volume.grid.size == expected.size
        assert volume.grid.spacing == pytest.approx(expected.spacing)
        assert volume.grid.origin == pytest.approx(expected.origin)


def test_an_enhanced_file_with_a_missing_frame_is_refused(tmp_path: Path) -> None:
    slices = write_series(tmp_path / "classic")
    write_enhanced(tmp_path / "enhanced", slices, [3, 1, 0, 5, 9, 2, 6, 8, 7])
    with pytest.raises(
        ValueError, match=r"1 missing slice: .* between enhanced frame 1 at .* mm and enhanced frame 4 at"
    ):
        find_volume(tmp_path / "enhanced")


def test_a_table_of_values_instead_of_a_slope_is_refused(tmp_path: Path) -> None:
    table = sequence(LUTDescriptor=[4, 0, 16], ModalityLUTType="US", LUTData=b"\1\0\2\0\3\0\4\0")
    for file in write_series(tmp_path):
        edit(file, RescaleSlope=None, ModalityLUTSequence=table)
    with pytest.raises(ValueError, match=r"000\.dcm: expected RescaleSlope, found a table of values"):
        find_volume(tmp_path)


def test_frames_without_positions_are_counted_once(tmp_path: Path) -> None:
    """However many frames a damaged header states."""
    file = write_series(tmp_path)[0]
    edit(file, NumberOfFrames=2**31 - 1)
    (frame,) = read(file).frames
    assert (frame.count, frame.position) == (2**31 - 1, None)
