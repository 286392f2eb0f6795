"""How results get to their place; that they are those of scripts.register is tested in tests/cohort/test_run.py."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import pytest

from bundle.cohort.registrar import PairRegistrar, publish
from bundle.cohort.worker import Worker


def write_folder(folder: Path, text: str, *, complete: bool = True) -> Path:
    folder.mkdir(parents=True)
    (folder / "transform.h5").write_text(text)
    if complete:
        (folder / "report.json").write_text(text)
    return folder


def test_a_folder_moves_to_its_place_as_a_whole(tmp_path: Path) -> None:
    work = write_folder(tmp_path / "work" / "a.1", "new")
    publish(work, tmp_path / "a")
    assert {path.name for path in (tmp_path / "a").iterdir()} == {"transform.h5", "report.json"}
    assert not any((tmp_path / "work").iterdir())


@pytest.mark.parametrize(("complete", "expected"), [(True, "old"), (False, "new")])
def test_only_a_complete_folder_stays(complete: bool, expected: str, tmp_path: Path) -> None:
    place = write_folder(tmp_path / "a", "old", complete=complete)
    (place / "of_old.txt").touch()
    publish(write_folder(tmp_path / "work" / "a.1", "new"), place)
    assert (place / "transform.h5").read_text() == expected
    assert (place / "of_old.txt").exists() == (expected == "old")
    left = {path.name for path in (tmp_path / "work").iterdir()}
    assert left <= {"a.1"}  # the caller removes it


def test_a_machine_without_the_output_folder_says_so(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"gone: not there on .*: --output_dir and the scans must lie"):
        PairRegistrar({}, tmp_path, tmp_path / "gone")


def test_weights_that_are_not_there_are_refused_before_any_pair(tmp_path: Path) -> None:
    make = partial(PairRegistrar, {"weights": str(tmp_path / "none.pt")}, tmp_path, tmp_path)
    _, _, refusal = Worker(make, None).ready()
    assert refusal == f"{tmp_path}/none.pt: no such weights file; train first, or pass --weights FILE"
