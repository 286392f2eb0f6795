from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk

from bundle.hosts.label.paths import check_inside, check_readable

REFUSED = "moving: .*: no id of the datastore, and no path in the folders this server may read"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A folder with a scan and a folder of slices; another beside it, whose name begins with its own."""
    for place in ("data", "data_of_others"):
        (tmp_path / place / "study").mkdir(parents=True)
        (tmp_path / place / "scan.nii.gz").write_bytes(b"scan")
        (tmp_path / place / "study" / "slice.dcm").write_bytes(b"slice")
    return tmp_path / "data"


@pytest.mark.parametrize("inside", ["scan.nii.gz", "study", "study/../scan.nii.gz", ".", "no_such_file.nii.gz"])
def test_what_lies_inside_is_allowed(root: Path, inside: str) -> None:
    check_inside("moving", root / inside, [root.resolve()])


@pytest.mark.parametrize(
    "outside",
    [
        "../data_of_others/scan.nii.gz",
        "study/../../data_of_others/scan.nii.gz",
        "../data_of_others/study",
        "..",
        "../no_such_file",
        "/etc/passwd",
        "/",
    ],
)
def test_what_lies_outside_is_refused_whether_it_exists_or_not(root: Path, outside: str) -> None:
    with pytest.raises(ValueError, match=REFUSED):
        check_inside("moving", root / outside, [root.resolve()])


def test_a_relative_path_is_one_of_the_working_folder(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(root)
    check_inside("moving", "scan.nii.gz", [root.resolve()])
    with pytest.raises(ValueError, match=REFUSED):
        check_inside("moving", "../data_of_others/scan.nii.gz", [root.resolve()])


@pytest.mark.parametrize("link", ["link.nii.gz", "link/scan.nii.gz", "link", "study", "chain.nii.gz"])
def test_links_that_lead_outside_are_refused(root: Path, link: str) -> None:
    others = root.parent / "data_of_others"
    (root / "link.nii.gz").symlink_to(others / "scan.nii.gz")
    (root / "chain.nii.gz").symlink_to("link.nii.gz")
    (root / "link").symlink_to(others)
    (root / "study" / "other.dcm").symlink_to(others / "study" / "slice.dcm")  # a slice of a DICOM folder
    with pytest.raises(ValueError, match=REFUSED):
        check_inside("moving", root / link, [root.resolve()])


def test_links_that_stay_inside_are_allowed_and_the_root_may_be_one(root: Path) -> None:
    (root / "link.nii.gz").symlink_to(root / "scan.nii.gz")
    (root.parent / "way").symlink_to(root)
    check_inside("moving", root.parent / "way" / "link.nii.gz", [(root.parent / "way").resolve()])


@pytest.mark.parametrize(("suffix", "field"), [(".mhd", "ElementDataFile = "), (".nhdr", "data file: ")])
def test_a_header_whose_voxels_lie_outside_is_refused(root: Path, suffix: str, field: str) -> None:
    header = root / f"scan{suffix}"
    sitk.WriteImage(sitk.GetImageFromArray(np.zeros((4, 5, 6), np.int16)), str(header))
    check_inside("moving", header, [root.resolve()])
    text = header.read_text()
    inside = next(line for line in text.splitlines() if line.startswith(field))
    header.write_text(text.replace(inside, f"{field}{root.parent / 'data_of_others' / 'scan.raw'}"))
    with pytest.raises(ValueError, match=REFUSED):
        check_inside("moving", header, [root.resolve()])
    renamed = header.rename(root / "scan.mha" if suffix == ".mhd" else root / "scan.img2")  # ITK reads these, too
    with pytest.raises(ValueError, match=REFUSED):
        check_inside("moving", renamed, [root.resolve()])


def test_the_voxels_of_a_header_with_a_separate_image_may_not_be_a_link(root: Path) -> None:
    (root / "scan.hdr").write_bytes(b"header")
    (root / "scan.img").symlink_to(root.parent / "data_of_others" / "scan.nii.gz")
    with pytest.raises(ValueError, match=REFUSED):
        check_inside("moving", root / "scan.hdr", [root.resolve()])


def test_without_allowed_folders_every_path_is_allowed_and_of_several_any(root: Path) -> None:
    check_inside("moving", "/etc/passwd", [])
    others = root.parent / "data_of_others"
    check_inside("moving", others / "scan.nii.gz", [root.resolve(), others.resolve()])


@pytest.mark.parametrize("path", ["pipe.nii", "link.nii", "study", "/dev/zero"])
def test_pipes_and_devices_are_refused_also_in_folders_and_behind_links(root: Path, path: str) -> None:
    os.mkfifo(root / "pipe.nii")
    os.mkfifo(root / "study" / "slice_2.dcm")
    (root / "link.nii").symlink_to("pipe.nii")
    check_readable("moving", root / "scan.nii.gz")
    check_readable("moving", root / "none.nii.gz")
    with pytest.raises(ValueError, match=r"^moving: .*: expected a file or a folder, found a pipe, a socket or a dev"):
        check_readable("moving", root / path)
