from __future__ import annotations

from pathlib import Path

import pydicom
import pytest
from pydicom.fileset import FileSet
from pydicom.uid import CTImageStorage, RTDoseStorage

from bundle.formats.dicom import find_volume, is_dicom
from bundle.formats.dicom.instances import read_instance
from tests.formats.dicom.conftest import SHAPE, edit, write_object, write_series


def test_an_old_file_without_preamble_is_dicom(tmp_path: Path) -> None:
    file = write_series(tmp_path)[0]
    data = pydicom.dcmread(file)
    del data.file_meta
    data.preamble = None
    data.save_as(tmp_path / "old", implicit_vr=True, little_endian=True)
    assert file.read_bytes()[128:132] == b"DICM" != (tmp_path / "old").read_bytes()[128:132]
    assert is_dicom(tmp_path / "old")
    old, new = read_instance(tmp_path / "old"), read_instance(file)
    assert old is not None
    assert new is not None
    assert old.frames[0].position == new.frames[0].position


@pytest.mark.parametrize("content", [b"", b"nothing", b"\x5c\x01" + bytes(400), b"NRRD0004\n" + bytes(400)])
def test_other_files_are_no_dicom(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "file").write_bytes(content)
    assert not is_dicom(tmp_path / "file")
    assert read_instance(tmp_path / "file") is None


def test_a_dicomdir_is_no_image_under_any_name(tmp_path: Path) -> None:
    for name in ("DICOMDIR", "index"):
        write_object(tmp_path / name, "1.2.840.10008.1.3.10", "OT", Rows=None, Columns=None, PixelData=None)
        assert read_instance(tmp_path / name) is None


@pytest.mark.parametrize("bytes_left", [0.999, 0.6])
def test_pixels_cut_short_are_refused(tmp_path: Path, bytes_left: float) -> None:
    file = write_series(tmp_path)[4]
    content = file.read_bytes()
    file.write_bytes(content[: int(len(content) * bytes_left)])
    with pytest.raises(
        ValueError, match=r"004\.dcm: (truncated: expected \d+ bytes of pixels, found \d+|truncated or)"
    ):
        find_volume(tmp_path)


@pytest.mark.parametrize("position", range(132, 800, 11))
def test_a_header_cut_anywhere_is_refused_in_one_line(tmp_path: Path, position: int) -> None:
    """Of the last slice: without it the volume would only be shorter."""
    file = write_series(tmp_path)[-1]
    content = file.read_bytes()
    assert position < len(content) - 200
    file.write_bytes(content[:position])
    with pytest.raises(ValueError, match=r"009\.dcm: .*(truncated|unreadable)") as error:
        find_volume(tmp_path)
    assert "\n" not in str(error.value)


def test_the_index_of_a_disc_is_no_image(tmp_path: Path) -> None:
    """A real DICOMDIR, also under another name; its folders hold files without suffix."""
    attributes = {"PatientID": "1", "PatientName": "a", "StudyDate": "20200101", "StudyTime": "1", "StudyID": "1"}
    disc = FileSet()
    for file in write_series(tmp_path / "made", AccessionNumber="1", SOPClassUID=CTImageStorage, **attributes):
        disc.add(pydicom.dcmread(file))
    disc.write(tmp_path / "disc")
    for name in ("DICOMDIR", "index"):
        assert len(find_volume(tmp_path / "disc").frames) == SHAPE[2]
        assert read_instance(tmp_path / "disc" / name) is None
        (tmp_path / "disc" / name).rename(tmp_path / "disc" / "index")


@pytest.mark.parametrize("photometric", ["PALETTE COLOR", "YBR_FULL"])
def test_colours_of_one_sample_are_colours(tmp_path: Path, photometric: str) -> None:
    """GDCM ends the process at a palette without its table."""
    for file in write_series(tmp_path):
        edit(file, PhotometricInterpretation=photometric)
    with pytest.raises(ValueError, match=r"expected a volume of two or more slices, found:\n  .*10 images \(colour\)"):
        find_volume(tmp_path)


@pytest.mark.parametrize(("stored", "high", "allocated"), [(12, 15, 16), (12, 12, 16), (16, 15, 8)])
def test_pixels_in_other_bits_than_the_lowest_are_refused(
    tmp_path: Path, stored: int, high: int, allocated: int
) -> None:
    for file in write_series(tmp_path):
        edit(file, BitsAllocated=allocated, BitsStored=stored, HighBit=high)
    message = (
        rf"000\.dcm: expected pixels in the lowest bits, found HighBit {high}, BitsStored {stored} and BitsAllocated"
    )
    with pytest.raises(ValueError, match=message):
        find_volume(tmp_path)


@pytest.mark.parametrize("damage", ["pixels", "position", "slope"])
def test_a_damaged_file_matters_to_its_own_series_only(tmp_path: Path, damage: str) -> None:
    write_series(tmp_path / "a", SeriesDescription="good")
    file = write_series(tmp_path / "b", SeriesDescription="bad")[-1]
    if damage == "pixels":
        file.write_bytes(file.read_bytes()[:-50])
    else:
        edit(file, **{"position": {"ImagePositionPatient": ["1", "2"]}, "slope": {"RescaleSlope": "0"}}[damage])
    assert {Path(frame.file).parent.name for frame in find_volume(tmp_path, "good").frames} == {"a"}
    with pytest.raises(
        ValueError, match=r"found 2; choose one by .*\n.*\n.*'bad', CT, .*10 files, one of them damaged"
    ):
        find_volume(tmp_path)
    with pytest.raises(ValueError, match=r"b/009\.dcm: (truncated: expected 144 bytes|expected)"):
        find_volume(tmp_path, "bad")


def test_what_is_cut_short_beside_the_series_does_not_matter(tmp_path: Path) -> None:
    write_series(tmp_path / "ct")
    write_object(tmp_path / "dose", RTDoseStorage, "RTDOSE")
    (tmp_path / "dose").write_bytes((tmp_path / "dose").read_bytes()[:-100])
    assert len(find_volume(tmp_path).frames) == SHAPE[2]
