from __future__ import annotations

import logging
import shutil
from pathlib import Path
from typing import Any

import pytest
from pydicom.uid import SecondaryCaptureImageStorage, generate_uid

from bundle.formats.dicom import find_volume
from tests.formats.dicom.conftest import SHAPE, edit, write_series

AXIAL = ["ORIGINAL", "PRIMARY", "AXIAL"]
SAVE = ["DERIVED", "SECONDARY"]
CORONAL = [1, 0, 0, 0, 0, -1]
OTHER_SHAPE = {"Rows": 4, "Columns": 4}


def write_with(folder: Path, name: str, kind: list[str] | None = AXIAL, **attributes: Any) -> Path:
    """A series, and a copy of one of its slices as another image of the series."""
    files = write_series(folder, **({"ImageType": kind} if kind else {}))
    stray = folder / name
    shutil.copy(files[4], stray)
    edit(stray, SOPInstanceUID=generate_uid(), InstanceNumber=99, **attributes)
    return stray


@pytest.mark.parametrize("kind", [AXIAL, [*AXIAL, "CT_SOM5 SPI"], ["DERIVED", "PRIMARY", "AXIAL"], None])
@pytest.mark.parametrize("name", ["!first.dcm", "last.dcm"])
@pytest.mark.parametrize(
    "attributes",
    [
        {"ImageType": SAVE, "ImagePositionPatient": None},
        {"ImageType": [*SAVE, "SCREEN SAVE"], "ImagePositionPatient": None, "ImageOrientationPatient": None},
        {
            "ImageType": SAVE,
            "ImagePositionPatient": None,
            "SOPClassUID": SecondaryCaptureImageStorage,
            "Modality": "OT",
        },
        {"ImageType": SAVE, "PixelSpacing": None, "SeriesDescription": "screen"},
        {"ImageType": SAVE, **OTHER_SHAPE},
        {"ImageType": [*SAVE, "REFORMATTED"], "ImageOrientationPatient": CORONAL},
        {"ImageType": ["ORIGINAL", "PRIMARY", "LOCALIZER"]},
        {"ImageType": ["ORIGINAL", "PRIMARY", "LOCALIZER"], "ImageOrientationPatient": CORONAL, **OTHER_SHAPE},
    ],
    ids=["screen", "no plane", "capture", "no spacing", "matrix", "coronal", "axial localizer", "localizer"],
)
def test_a_stray_image_is_left_out_and_logged(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, attributes: dict[str, Any], name: str, kind: list[str] | None
) -> None:
    stray = write_with(tmp_path, name, kind, **attributes)
    caplog.set_level(logging.INFO)
    volume = find_volume(tmp_path)
    assert len(volume.frames) == SHAPE[2]
    assert str(stray) not in {frame.file for frame in volume.frames}
    assert (volume.series.modality, volume.series.description) == ("CT", "")
    (line,) = caplog.messages
    assert "1 localizers, colour images and images on another grid of series" in line
    assert f"are not read: {name}" in line


@pytest.mark.parametrize("index", [0, 4, 9])
@pytest.mark.parametrize("stack", [AXIAL, ["DERIVED", "SECONDARY", "AXIAL"], None])
@pytest.mark.parametrize("kind", [None, AXIAL, ["ORIGINAL", "PRIMARY", "OTHER"]], ids=["same", "axial", "original"])
@pytest.mark.parametrize("keyword", ["ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing"])
def test_a_slice_without_its_place_is_refused(
    tmp_path: Path, keyword: str, kind: list[str] | None, stack: list[str] | None, index: int
) -> None:
    """At an end its loss would leave a volume without a gap."""
    file = write_series(tmp_path, **({"ImageType": stack} if stack else {}))[index]
    edit(file, **{keyword: None}, **({"ImageType": kind} if kind else {}))
    with pytest.raises(ValueError, match=rf"00{index}\.dcm.*: expected {keyword}, found none"):
        find_volume(tmp_path)


def test_the_gap_that_a_derived_slice_leaves_is_found(tmp_path: Path) -> None:
    edit(write_series(tmp_path, ImageType=AXIAL)[4], ImageType=SAVE, ImagePositionPatient=None)
    with pytest.raises(ValueError, match=r"1 missing slice: .* between 003\.dcm at .* and 005\.dcm"):
        find_volume(tmp_path)


@pytest.mark.parametrize(
    "attributes", [{"ImageOrientationPatient": CORONAL}, OTHER_SHAPE], ids=["orientation", "matrix"]
)
def test_another_grid_of_the_same_kind_is_refused(tmp_path: Path, attributes: dict[str, Any]) -> None:
    write_with(tmp_path, "last.dcm", **attributes)
    with pytest.raises(ValueError, match=r"last\.dcm at .*: expected the (orientation|columns and rows) of 000\.dcm"):
        find_volume(tmp_path)


def test_many_images_on_another_grid_are_refused(tmp_path: Path) -> None:
    for index, file in enumerate(write_series(tmp_path, ImageType=AXIAL)):
        if index >= 6:
            edit(file, ImageType=SAVE, ImageOrientationPatient=CORONAL)
    with pytest.raises(ValueError, match=r"006\.dcm at .*: expected the orientation of 000\.dcm"):
        find_volume(tmp_path)
