from __future__ import annotations

import logging
import re
from pathlib import Path

import pytest
from pydicom.uid import SecondaryCaptureImageStorage

from bundle.formats.dicom import find_volume
from tests.formats.dicom.conftest import SHAPE, edit, uid_of, write_localizer, write_object, write_series


def test_the_one_ct_volume_of_a_disc_is_read_and_the_rest_is_logged(
    disc: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    volume = find_volume(disc)
    assert {Path(frame.file).parent for frame in volume.frames} == {disc / "S1" / "A"}
    assert len(volume.frames) == SHAPE[2]
    (line,) = caplog.messages
    for part in (
        r"reads series [\d.]+ 'Thorax 1\.0', CT, kernel B60f, 10 slices, 0\.7 x 1\.1 x 2\.5 mm; not read: ",
        r"'Topogram', CT, 2 images \(localizer\)",
        r"'rtdose', RTDOSE, 1 images \(no scan\)",
        r"'rtstruct', RTSTRUCT, 1 images \(no scan\)",
        r"'sr', SR, 1 images \(no scan\)",
        r"'ct', CT, 2 images \(colour\)",
        r"'ot', OT, 1 images \(no positions\)",
    ):
        assert re.search(part, line), part


def test_localizers_and_colour_inside_a_series_are_left_out_and_logged(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    uid = uid_of(write_series(tmp_path / "a")[0])
    write_localizer(tmp_path / "b")
    for file in (tmp_path / "b").iterdir():
        edit(file, SeriesInstanceUID=uid)
    colour = {
        "SamplesPerPixel": 3,
        "PhotometricInterpretation": "RGB",
        "PlanarConfiguration": 0,
        "PixelData": bytes(432),
    }
    write_object(tmp_path / "report", SecondaryCaptureImageStorage, "CT", **colour)
    edit(tmp_path / "report", SeriesInstanceUID=uid)
    caplog.set_level(logging.INFO)
    assert len(find_volume(tmp_path).frames) == SHAPE[2]
    what = "localizers, colour images and images on another grid"
    (line,) = caplog.messages
    assert line.startswith(f"{tmp_path}: 3 {what} of series {uid} are not read: b/000.dcm at ")
    assert all(name in line for name in ("b/001.dcm at ", "report at "))


def test_a_slice_given_for_its_folder_is_refused_with_a_hint(tmp_path: Path) -> None:
    file = write_series(tmp_path)[3]
    with pytest.raises(
        ValueError, match=r"003\.dcm: expected a volume of two or more slices; give the folder with all"
    ):
        find_volume(file)


def test_the_working_folder_does_not_matter(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_series(tmp_path / "scan")
    monkeypatch.chdir(tmp_path)
    assert len(find_volume("scan").frames) == SHAPE[2]
    (tmp_path / "scan" / "004.dcm").unlink()
    with pytest.raises(ValueError, match=r"^scan: 1 missing slice: .* between 003\.dcm at"):
        find_volume("scan")


@pytest.mark.parametrize(("choice", "phase"), [("#2", "2"), ("1.2.3#1.0", "1")])
def test_a_volume_is_found_again_by_its_own_choice(tmp_path: Path, choice: str, phase: str) -> None:
    for number in (1, 2):
        attributes = {"SeriesInstanceUID": "1.2.3", "SeriesDescription": "gated", "AcquisitionNumber": number}
        write_series(tmp_path / str(number), **attributes)
    volume = find_volume(tmp_path, choice)
    assert volume.origin == {"dicom_series": "1.2.3", "dicom_description": "gated", "dicom_phase": phase}
    assert volume.choice == f"1.2.3#{phase}"
    assert find_volume(tmp_path, volume.choice).frames == volume.frames
