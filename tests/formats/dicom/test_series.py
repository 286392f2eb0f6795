from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from pydicom.uid import RTDoseStorage, generate_uid

from bundle.formats.dicom import find_volume
from bundle.formats.dicom.instances import _read_instance
from tests.formats.dicom.conftest import SHAPE, edit, write_object, write_series
from tests.io.conftest import make_affine


def test_text_of_the_thickness_and_dates_do_not_split_a_series(tmp_path: Path) -> None:
    """ITK's `GDCMSeriesFileNames` makes six series of it."""
    for index, file in enumerate(write_series(tmp_path)):
        thickness = (b"2.5 ", b"2.50", b"2.4999")[index % 3]
        edit(file, SliceThickness=thickness.decode().strip(), StudyDate=f"2020010{1 + index // 5}")
        edit(file, SeriesDate=f"2020010{1 + index // 5}", SeriesTime=f"2359{50 + index}", SeriesNumber=index)
    assert len(find_volume(tmp_path).frames) == SHAPE[2]


def test_other_modalities_are_read_where_there_is_no_ct(tmp_path: Path) -> None:
    mr = "1.2.840.10008.5.1.4.1.1.4"
    write_series(tmp_path, Modality="MR", SOPClassUID=mr)
    write_object(tmp_path / "dose", RTDoseStorage, "RTDOSE")
    assert len(find_volume(tmp_path).frames) == SHAPE[2]
    write_series(tmp_path / "ct")
    assert {Path(frame.file).parent.name for frame in find_volume(tmp_path).frames} == {"ct"}


def test_bolus_tracking_at_one_position_is_no_volume(tmp_path: Path) -> None:
    for file in write_series(tmp_path / "tracking", SeriesDescription="Monitoring"):
        edit(file, ImagePositionPatient=[0, 0, 0])
    with pytest.raises(ValueError, match=r"expected a volume of two or more slices, found:\n  .*10 images \(a single"):
        find_volume(tmp_path)
    write_series(tmp_path / "scan")
    assert {Path(frame.file).parent.name for frame in find_volume(tmp_path).frames} == {"scan"}


def test_a_folder_without_dicom_is_refused(tmp_path: Path) -> None:
    (tmp_path / "note.txt").write_text("nothing")
    with pytest.raises(FileNotFoundError, match="no DICOM file in this folder"):
        find_volume(tmp_path)


def test_a_dicomdir_given_for_its_folder_is_refused_with_a_hint(tmp_path: Path) -> None:
    write_object(tmp_path / "DICOMDIR", "1.2.840.10008.1.3.10", "OT", Rows=None, Columns=None, PixelData=None)
    with pytest.raises(
        ValueError, match=r"DICOMDIR: expected an image, found a DICOMDIR or no DICOM; give the folder of"
    ):
        find_volume(tmp_path / "DICOMDIR")


def test_two_scouts_across_each_other_are_no_volume(tmp_path: Path) -> None:
    """Without the word LOCALIZER in their ImageType."""
    write_series(tmp_path / "scan")
    for name, angles_deg in (("ap", (90, 0, 180)), ("side", (90, 0, 90))):
        for file in write_series(tmp_path / name, affine=make_affine(angles_deg=angles_deg))[1:]:
            file.unlink()
        edit(tmp_path / name / "000.dcm", SeriesInstanceUID="1.2.3")
    edit(tmp_path / "side" / "000.dcm", ImagePositionPatient=[0, 0, 0])
    assert {Path(frame.file).parent.name for frame in find_volume(tmp_path).frames} == {"scan"}


def test_links_are_followed_once(tmp_path: Path) -> None:
    """As DVC and git-annex leave them: files and folders elsewhere, a folder that holds itself."""
    files = write_series(tmp_path / "store" / "a")
    scan = tmp_path / "scan"
    scan.mkdir()
    for file in files[:5]:
        (scan / file.name).symlink_to(file)
    (tmp_path / "rest").mkdir()
    for file in files[5:]:
        shutil.move(file, tmp_path / "rest")
        (tmp_path / "store" / "a" / file.name).touch()
    (scan / "more").symlink_to(tmp_path / "rest")
    (scan / "loop").symlink_to(scan)
    assert len(find_volume(scan).frames) == SHAPE[2]


def test_the_header_of_each_of_500_slices_is_read_once(tmp_path: Path) -> None:
    """The time is measured by `scripts.benchmark response`."""
    first = write_series(tmp_path)
    for index in range(len(first), 500):
        file = tmp_path / f"{index:03d}.dcm"
        shutil.copy(first[0], file)
        edit(file, ImagePositionPatient=[153.8, -120.4, -1434.5 + 2.5 * index], SOPInstanceUID=generate_uid())
    _read_instance.cache_clear()
    for _ in range(2):
        assert len(find_volume(tmp_path).frames) == 500
        assert _read_instance.cache_info().misses == 500


@pytest.mark.parametrize(
    "names", [("Thumbs.db", ".DS_Store", "note.txt", "old.zip"), ("._000.dcm", "__MACOSX/._1.IMA")]
)
def test_other_files_in_the_folder_do_not_matter(tmp_path: Path, names: tuple[str, ...]) -> None:
    write_series(tmp_path)
    for name in names:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"PK\3\4" + bytes(300))
    assert len(find_volume(tmp_path).frames) == SHAPE[2]


@pytest.mark.parametrize("name", ["009.dcm", "IM9.IMA"])
@pytest.mark.parametrize("size", [0, 500])
def test_a_file_that_lost_its_content_is_refused_by_its_name(tmp_path: Path, name: str, size: int) -> None:
    """The last slice: without it the volume would only be shorter."""
    write_series(tmp_path)[-1].unlink()
    (tmp_path / name).write_bytes(bytes(size))
    with pytest.raises(ValueError, match=rf"{name}: expected DICOM by its name, found an empty file or another format"):
        find_volume(tmp_path)


@pytest.mark.parametrize(
    "attributes",
    [{"SliceThickness": None}, {"InstanceNumber": None}, {"InstanceNumber": 7}, {"PhotometricInterpretation": None}],
    ids=["no thickness", "no number", "equal numbers", "no photometric interpretation"],
)
def test_a_volume_needs_its_positions_only(tmp_path: Path, attributes: dict[str, int | None]) -> None:
    for file in write_series(tmp_path):
        edit(file, **attributes)
    positions = [frame.position[2] for frame in find_volume(tmp_path).frames if frame.position]
    assert positions == pytest.approx([-1434.5 + 2.5 * index for index in range(10)])
