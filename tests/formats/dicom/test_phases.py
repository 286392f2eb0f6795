from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pydicom
import pytest
from pydicom.uid import generate_uid

from bundle.formats.dicom import find_volume
from tests.formats.dicom.conftest import SHAPE, edit, sequence, shift, write_enhanced, write_series


def write_phases(folder: Path, per_phase: list[dict[str, Any]], **series: Any) -> str:
    """One series with a volume for each item; returns its UID."""
    uid = generate_uid()
    for number, attributes in enumerate(per_phase):
        attributes = {"SeriesInstanceUID": uid, **series, **attributes}
        for index, file in enumerate(write_series(folder / str(number), seed=number, **attributes)):
            edit(file, InstanceNumber=100 * number + index)
    return uid


def folders(folder: Path, choice: str | None = None) -> set[str]:
    """The phases, by the folders of their files."""
    return {Path(frame.file).parent.name for frame in find_volume(folder, choice).frames}


@pytest.mark.parametrize(
    ("attribute", "values", "names"),
    [
        ("TemporalPositionIdentifier", [2, 1, 10], "1, 2, 10"),
        ("NominalPercentageOfCardiacPhase", [0.0, 35.0, 70.0], "0, 35, 70"),
        ("NominalPercentageOfRespiratoryPhase", [0.0, 50.0, 90.0], "0, 50, 90"),
        ("TriggerTime", ["120.5", "300", "45"], "45, 120.5, 300"),
        ("AcquisitionNumber", [3, 4, 5], "3, 4, 5"),
        ("SeriesDescription", ["Gated, 0.0%", "Gated, 50.0%", "all"], "'Gated, 0.0%', 'Gated, 50.0%', all"),
        ("ImageComments", ["T=0%", "T=33%", "T=66%"], "T=0%, T=33%, T=66%"),
        ("ConvolutionKernel", ["B60f", "B30f", ["Br40", "3"]], "B30f, B60f, Br40/3"),
    ],
)
def test_phases_are_named_and_chosen_by_their_attribute(
    tmp_path: Path, attribute: str, values: list[Any], names: str
) -> None:
    uid = write_phases(tmp_path, [{attribute: value} for value in values], SeriesDescription="gated")
    title = values[0] if attribute == "SeriesDescription" else "gated"
    message = (
        f"{tmp_path}: series {uid} {title!r} has 3 phases by {attribute}: expected one of {names}, found none: choose "
        f"one by '{uid}#NAME' (--fixed_series or --moving_series)"
    )
    with pytest.raises(ValueError, match=re.escape(message)):
        find_volume(tmp_path)
    for number, value in enumerate(values):
        name = "/".join(value) if isinstance(value, list) else f"{value:g}" if isinstance(value, float) else str(value)
        assert folders(tmp_path, f"{uid}#{name}") == folders(tmp_path, f"GATED#{name}") == {str(number)}
        assert folders(tmp_path, f"#{name}") == folders(tmp_path, f"{uid}::{name}") == {str(number)}
        assert len(find_volume(tmp_path, f"#{name}").frames) == SHAPE[2]
    if attribute.startswith("Nominal"):
        assert folders(tmp_path, f"{uid}#0%") == folders(tmp_path, f"{uid}#00.0 %") == {"0"}
    with pytest.raises(ValueError, match=rf"expected one of {names}, found '99'"):
        find_volume(tmp_path, f"{uid}#99")


def test_phases_that_no_attribute_tells_apart_go_by_instance_number(tmp_path: Path) -> None:
    write_phases(tmp_path, [{}, {}, {}])
    with pytest.raises(
        ValueError, match=r"has 3 phases by order of InstanceNumber: expected one of 1, 2, 3, found none"
    ):
        find_volume(tmp_path)
    assert [folders(tmp_path, f"#{name}") for name in (1, 2, 3)] == [{"0"}, {"1"}, {"2"}]


def test_phases_in_folders_with_equal_numbers_go_by_folder(tmp_path: Path) -> None:
    for name in ("T50", "T00"):
        write_series(tmp_path / name, SeriesInstanceUID="1.2.3")
    with pytest.raises(ValueError, match=r"has 2 phases by folder: expected one of T00, T50, found none"):
        find_volume(tmp_path)
    assert folders(tmp_path, "#T50") == {"T50"}


def test_images_that_nothing_tells_apart_are_doubled_slices(tmp_path: Path) -> None:
    for name in ("b", "a"):
        for file in write_series(tmp_path / name, SeriesInstanceUID="1.2.3"):
            file.rename(tmp_path / f"{file.stem}{name}")
    with pytest.raises(ValueError, match=r"10 doubled slices: .* found 000a at .* and 000b at"):
        find_volume(tmp_path)


def test_interleaved_acquisitions_are_phases(tmp_path: Path) -> None:
    """The second volume lies between the slices of the first, a little lower."""
    uid = write_phases(tmp_path, [{"AcquisitionNumber": 1}, {"AcquisitionNumber": 2}])
    for file in (tmp_path / "1").iterdir():
        shift(file, [0, 0, 0.9])
    with pytest.raises(ValueError, match="2 phases by AcquisitionNumber"):
        find_volume(tmp_path)
    assert folders(tmp_path, f"{uid}#2") == {"1"}


@pytest.mark.parametrize("count", [2, 3])
@pytest.mark.parametrize("missing", [(), (0,), (9,)], ids=["equal", "without the first", "without the last"])
@pytest.mark.parametrize(
    "attribute",
    [
        "StackID",
        "TemporalPositionIdentifier",
        "AcquisitionNumber",
        "SeriesDescription",
        "ConvolutionKernel",
        "TriggerTime",
        "folder",
    ],
)
def test_phases_that_interleave_evenly_are_no_finer_volume(
    tmp_path: Path, attribute: str, missing: tuple[int, ...], count: int
) -> None:
    attributes = [{} if attribute == "folder" else {attribute: str(number)} for number in range(count)]
    uid = write_phases(tmp_path, attributes)
    for number in range(count):
        for index, file in enumerate(sorted((tmp_path / str(number)).iterdir())):
            shift(file, [0, 0, round(2.5 * number / count, 1)])
            if number == 1 and index in missing:
                file.unlink()
    with pytest.raises(ValueError, match=rf"has {count} phases by {attribute}: expected one of 0, 1"):
        find_volume(tmp_path)
    volume = find_volume(tmp_path, f"{uid}#1")
    assert {Path(frame.file).parent.name for frame in volume.frames} == {"1"}
    assert (len(volume.frames), volume.grid.spacing[2]) == (10 - len(missing), pytest.approx(2.5))


@pytest.mark.parametrize("keyword", ["TemporalPositionIndex", "StackID", "FrameAcquisitionNumber"])
def test_phases_of_an_enhanced_file_may_interleave_evenly(tmp_path: Path, keyword: str) -> None:
    file = tmp_path / "enhanced"
    write_enhanced(file, write_series(tmp_path / "classic"), range(10))
    data = pydicom.dcmread(file)
    for index, group in enumerate(data.PerFrameFunctionalGroupsSequence):
        group.FrameContentSequence = sequence(**{keyword: "12"[index % 2] if keyword == "StackID" else 1 + index % 2})
    data.save_as(file)
    with pytest.raises(ValueError, match=r"has 2 phases by \w+: expected one of 1, 2"):
        find_volume(file)
    volume = find_volume(file, "#2")
    assert [frame.index for frame in volume.frames] == [1, 3, 5, 7, 9]
    assert volume.grid.spacing[2] == pytest.approx(5)


@pytest.mark.parametrize("attribute", ["AcquisitionNumber", "TriggerTime", "TemporalPositionIdentifier", "KVP"])
@pytest.mark.parametrize(
    "values",
    [
        range(10),
        range(10, 0, -1),
        [1] * 5 + [2] * 5,
        [2] * 3 + [1] * 7,
        [1, 1, 1, 2, 2, 2, 3, 3, 3, 4],
        [1, 2, 2, 1, 2] * 2,
    ],
    ids=["each slice", "falling", "halves", "unequal blocks", "many blocks", "irregular"],
)
def test_what_varies_along_a_plain_volume_does_not_split_it(
    tmp_path: Path, attribute: str, values: Sequence[int]
) -> None:
    for file, value in zip(write_series(tmp_path), values, strict=True):
        edit(file, **{attribute: str(value)})
    assert len(find_volume(tmp_path).frames) == SHAPE[2]


@pytest.mark.parametrize("attribute", ["AcquisitionNumber", "TriggerTime", "KVP"])
def test_attributes_that_vary_along_an_ordinary_volume_are_no_phases(tmp_path: Path, attribute: str) -> None:
    for index, file in enumerate(write_series(tmp_path)):
        edit(file, **{attribute: index // 5 + 1})
    assert len(find_volume(tmp_path).frames) == SHAPE[2]


def test_a_hole_between_two_acquisitions_is_a_missing_slice(tmp_path: Path) -> None:
    files = write_series(tmp_path)
    for index, file in enumerate(files):
        edit(file, AcquisitionNumber=index // 5 + 1)
    files[5].unlink()
    with pytest.raises(ValueError, match=r"1 missing slice: .* between 004\.dcm"):
        find_volume(tmp_path)


def test_a_hole_in_a_phase_is_a_missing_slice(tmp_path: Path) -> None:
    write_phases(tmp_path, [{"TemporalPositionIdentifier": 1}, {"TemporalPositionIdentifier": 2}])
    (tmp_path / "1" / "004.dcm").unlink()
    assert folders(tmp_path, "#1") == {"0"}
    with pytest.raises(ValueError, match=r"1 missing slice: .* between 1/003.dcm"):
        find_volume(tmp_path, "#2")


def test_phases_of_an_enhanced_file_may_be_mixed(tmp_path: Path) -> None:
    slices = write_series(tmp_path / "classic")
    order = [index // 2 for index in range(19, -1, -1)]
    write_enhanced(tmp_path / "enhanced", slices, order, phases=[30, 70] * 10)
    with pytest.raises(ValueError, match=r"2 phases by NominalPercentageOfCardiacPhase: expected one of 30, 70"):
        find_volume(tmp_path / "enhanced")
    volume = find_volume(tmp_path / "enhanced", "#70")
    assert [frame.index for frame in volume.frames] == list(range(19, 0, -2))


def test_a_phase_of_a_series_with_one_is_refused(tmp_path: Path) -> None:
    write_series(tmp_path)
    with pytest.raises(ValueError, match="has one phase: expected no phase in the choice, found '30'"):
        find_volume(tmp_path, "#30")


def test_times_that_differ_between_the_slices_of_a_phase_do_not_tear_it_apart(tmp_path: Path) -> None:
    """Six trigger times, of which each would give a volume of three or four slices."""
    for phase in range(2):
        for index, file in enumerate(write_series(tmp_path / str(phase), seed=phase, SeriesInstanceUID="1.2.3")):
            edit(file, TriggerTime=300 * phase + index % 3, InstanceNumber=2 * index + phase)
    with pytest.raises(ValueError, match=r"has 2 phases by order of InstanceNumber: expected one of 1, 2"):
        find_volume(tmp_path)
    assert folders(tmp_path, "#2") == {"1"}


@pytest.mark.parametrize("order", [[0, 1, 2, 7, 8, 9], [9, 0, 8, 2, 7, 1]], ids=["sorted", "mixed"])
def test_stacks_that_lie_apart_are_chosen_by_their_name(tmp_path: Path, order: list[int]) -> None:
    slices = write_series(tmp_path / "classic")
    file = tmp_path / "enhanced"
    write_enhanced(file, slices, order)
    data = pydicom.dcmread(file)
    for index, group in zip(order, data.PerFrameFunctionalGroupsSequence, strict=True):
        group.FrameContentSequence = sequence(StackID="apex" if index > 5 else "base")
    data.save_as(file)
    with pytest.raises(ValueError, match=r"has 2 phases by StackID: expected one of apex, base, found none"):
        find_volume(file)
    assert [order[frame.index] for frame in find_volume(file, "#Apex").frames] == [7, 8, 9]


def test_stacks_without_a_gap_are_one_volume(tmp_path: Path) -> None:
    slices = write_series(tmp_path / "classic")
    file = tmp_path / "enhanced"
    write_enhanced(file, slices, range(10))
    data = pydicom.dcmread(file)
    for index, group in enumerate(data.PerFrameFunctionalGroupsSequence):
        group.FrameContentSequence = sequence(StackID=str(index // 5))
    data.save_as(file)
    assert len(find_volume(file).frames) == 10
