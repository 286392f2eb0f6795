from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from bundle.io import read_image, read_transform, write_image
from bundle.series import members_of_files
from bundle.series.order import outwards
from bundle.series.registration import OWN_ALIGNMENT, Outcome, SeriesRegistration, read, register_members
from tests.series.chests import COARSE, write_chest, write_water

FILES = {
    "warped.nii.gz",
    "jacobian.nii.gz",
    "transform.h5",
    "inverse_transform.h5",
    "overview.png",
    "report.json",
}


@pytest.fixture(scope="module")
def scans(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four members of a cycle; the third has no lungs."""
    folder = tmp_path_factory.mktemp("scans")
    for number in (0, 1, 3):
        write_chest(folder / f"p{number}.nii.gz", number)
    write_water(folder / "p2.nii.gz")
    return folder


def run(scans: Path, folder: Path, *, overwrite: bool = False, options: dict[str, object] | None = None) -> Outcome:
    members = members_of_files(sorted(scans.glob("p*.nii.gz")))
    registration = SeriesRegistration(COARSE | (options or {}), overwrite=overwrite)
    return register_members(registration, members, 0, outwards(len(members), 0), folder)


@pytest.fixture(scope="module")
def finished(scans: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Outcome]:
    folder = tmp_path_factory.mktemp("out")
    return folder, run(scans, folder)


def test_members_get_the_files_of_a_registration(finished: tuple[Path, Outcome]) -> None:
    folder, outcome = finished
    assert set(outcome.reports) == {"p1", "p3"}
    for name in outcome.reports:
        assert {path.name for path in (folder / name).iterdir()} >= FILES
        report = json.loads((folder / name / "report.json").read_text())
        assert report["name"] == name
        assert report["settings"]["started_from"] == OWN_ALIGNMENT
        read_transform(folder / name / "transform.h5")


def test_a_member_that_fails_is_listed_and_the_others_go_on(finished: tuple[Path, Outcome]) -> None:
    folder, outcome = finished
    assert set(outcome.failed) == {"p2"}
    assert "p2.nii.gz: found values from" in outcome.failed["p2"]
    assert not (folder / "p2" / "report.json").exists()


def written(folder: Path) -> dict[str, int]:
    return {path.parent.name: path.stat().st_mtime_ns for path in folder.glob("*/report.json")}


@pytest.mark.parametrize(
    ("change", "again"),
    [
        ("nothing", set()),
        ("interrupted", {"p3"}),
        ("another scan", {"p1"}),
        ("other settings", {"p1", "p3"}),
        ("overwrite", {"p1", "p3"}),
    ],
)
def test_only_what_is_not_finished_is_registered_again(
    finished: tuple[Path, Outcome], scans: Path, tmp_path: Path, change: str, again: set[str]
) -> None:
    folder = Path(shutil.copytree(finished[0], tmp_path / "out"))
    before = written(folder)
    own = scans
    if change == "interrupted":
        (folder / "p3" / "report.json").unlink()
    if change == "another scan":
        kept = scans / "p1.nii.gz"
        shutil.copy(kept, tmp_path / "kept.nii.gz")
        write_chest(kept, 1, seed=1)
    try:
        options = {"spacing_mm": 9.0} if change == "other settings" else None
        outcome = run(own, folder, overwrite=change == "overwrite", options=options)
    finally:
        if change == "another scan":
            shutil.copy(tmp_path / "kept.nii.gz", kept)
    assert set(outcome.reports) == {"p1", "p3"}
    assert {name for name, time in written(folder).items() if time != before.get(name)} == again


@pytest.mark.parametrize("offset_hu", [1024, 1000])
def test_scans_of_another_offset_are_read_as_the_registration_sees_them(
    finished: tuple[Path, Outcome], scans: Path, tmp_path: Path, offset_hu: int
) -> None:
    for name in ("p0", "p1"):
        scan = read_image(scans / f"{name}.nii.gz")
        shifted = scan[0].as_tensor() + offset_hu
        write_image(tmp_path / f"{name}.nii.gz", shifted, scan.affine, dtype=np.int16)
    fixed, moving = members_of_files([tmp_path / "p0.nii.gz", tmp_path / "p1.nii.gz"])
    assert torch.equal(read(fixed).as_tensor(), read_image(scans / "p0.nii.gz").as_tensor())
    folder = tmp_path / "out"
    registration = SeriesRegistration(COARSE)
    report = registration.register(fixed, moving, folder)
    assert report["sha256"] == finished[1].reports["p1"]["sha256"]
    before = (folder / "report.json").stat().st_mtime_ns
    registration.register(fixed, moving, folder)
    assert (folder / "report.json").stat().st_mtime_ns == before  # skipped
