from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
import torch

from bundle.io import read_image, write_image
from bundle.series import Member, members_of_dicom, members_of_files
from tests.formats.dicom.conftest import hu, write_series
from tests.formats.dicom.test_phases import write_phases

PERCENT = "NominalPercentageOfRespiratoryPhase"


def write_scans(folder: Path, *names: str) -> list[str]:
    paths = [folder / name for name in names]
    for path in paths:
        path.parent.mkdir(exist_ok=True)
        write_image(path, hu(), torch.eye(4), dtype=np.int16)
    return [str(path) for path in paths]


def test_files_keep_their_order_and_give_their_names(tmp_path: Path) -> None:
    files = write_scans(tmp_path, "p50.nii.gz", "p00.nii", "a.b.nii.gz")
    expected = [Member(name, file) for name, file in zip(["p50", "p00", "a.b"], files, strict=True)]
    assert members_of_files(files) == expected


def test_files_of_one_name_are_told_apart_by_their_folders(tmp_path: Path) -> None:
    files = write_scans(tmp_path, "2020/ct.nii.gz", "2021/ct.nii.gz", "2021/CT (1).nii.gz")
    assert [member.name for member in members_of_files(files)] == ["2020_ct", "2021_ct", "CT_1"]


def test_names_differ_in_any_case(tmp_path: Path) -> None:
    files = write_scans(tmp_path, "a b.nii.gz", "a_b.nii.gz", "A_B.nii.gz")
    assert [member.name for member in members_of_files(files)] == ["a_b", "a_b_2", "A_B_3"]


def test_no_name_is_that_of_the_folder_of_direct_registrations(tmp_path: Path) -> None:
    files = write_scans(tmp_path, "Direct.nii.gz", "other.nii.gz")
    assert [member.name for member in members_of_files(files)] == ["Direct_2", "other"]


def test_what_is_wrong_with_the_files_is_said_first(tmp_path: Path) -> None:
    first, second = write_scans(tmp_path, "a.nii.gz", "b.nii.gz")
    with pytest.raises(ValueError, match=r"a\.nii\.gz: expected every scan of the series once, found it twice"):
        members_of_files([first, second, first])
    with pytest.raises(ValueError, match="expected 2 or more scans of a series, found 1"):
        members_of_files([first])
    with pytest.raises(FileNotFoundError, match=r"c\.nii\.gz: no such file"):
        members_of_files([first, str(tmp_path / "c.nii.gz")])
    Path(second).write_bytes(Path(second).read_bytes()[:100])
    with pytest.raises(ValueError, match=r"b\.nii\.gz"):
        members_of_files([first, second])


def test_a_dicom_series_is_split_into_its_phases(tmp_path: Path) -> None:
    uid = write_phases(tmp_path, [{PERCENT: 50.0}, {PERCENT: 0.0}, {PERCENT: 5.0}], SeriesDescription="gated")
    members = members_of_dicom(tmp_path)
    assert members == [Member(name, str(tmp_path), f"{uid}#{name}") for name in ("0", "5", "50")]
    for member, seed in zip(members, (1, 2, 0), strict=True):
        voxels = read_image(member.file, member.choice)[0].numpy()
        assert sorted(np.unique(voxels)) == sorted(np.unique(hu(seed)))


def test_several_series_of_one_volume_each_are_ordered_by_their_numbers(tmp_path: Path) -> None:
    for number, text in enumerate(["Gated 10.0%", "Gated 5.0%", "Gated 0.0%", "Average"]):
        write_series(tmp_path / str(number), seed=number, SeriesDescription=text)
    members = members_of_dicom(tmp_path, r"%$")
    assert [member.name for member in members] == ["Gated_0.0", "Gated_5.0", "Gated_10.0"]
    np.testing.assert_array_equal(
        np.sort(read_image(members[0].file, members[0].choice).numpy(), axis=None), np.sort(hu(2), axis=None)
    )
    assert len(members_of_dicom(tmp_path)) == 4


def test_one_volume_is_no_series(tmp_path: Path) -> None:
    write_series(tmp_path, SeriesDescription="inhale")
    with pytest.raises(ValueError, match=re.escape(f"{tmp_path}: expected 2 or more scans of a series, found 1")):
        members_of_dicom(tmp_path)
    with pytest.raises(ValueError, match=r"expected one volume for series 'exhale', found 0; .*--dicom_series"):
        members_of_dicom(tmp_path, "exhale")
