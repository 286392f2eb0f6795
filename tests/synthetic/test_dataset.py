from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from bundle.synthetic import dataset
from bundle.synthetic.dataset import RECORD
from bundle.synthetic.phantom import write_phantoms

SPACING_MM = (10.0, 9.0, 11.0)


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("phantoms")
    return write_phantoms(directory, num_training=2, num_validation=1, num_test=1, seed=3, spacing_mm=SPACING_MM)


@pytest.fixture
def copied(written: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(written.parent, tmp_path / "copy"))


def times(directory: Path) -> dict[str, int]:
    return {path.parent.name: path.stat().st_mtime_ns for path in directory.glob("*/fixed.nii.gz")}


def test_an_interrupted_call_goes_on_where_it_stopped(copied: Path) -> None:
    before = times(copied)
    (copied / "validation_00" / RECORD).unlink()  # written last
    shutil.rmtree(copied / "test_00")
    (copied / ".test_00.killed").mkdir()
    write_phantoms(copied, num_training=2, num_validation=1, num_test=1, seed=3, spacing_mm=SPACING_MM)
    after = times(copied)
    assert after.keys() == before.keys()
    assert {name for name in after if after[name] != before[name]} == {"validation_00", "test_00"}


def test_a_case_that_fails_leaves_nothing_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise OSError("disk full")

    monkeypatch.setattr(dataset, "write_landmarks_csv", fail)
    with pytest.raises(OSError, match="disk full"):
        write_phantoms(tmp_path, num_training=1, num_validation=0, num_test=0, spacing_mm=SPACING_MM)
    assert list(tmp_path.iterdir()) == []


def test_more_cases_keep_those_there_and_another_seed_replaces_them(copied: Path) -> None:
    before = times(copied)
    write_phantoms(copied, num_training=3, num_validation=1, num_test=1, seed=3, spacing_mm=SPACING_MM)
    more = times(copied)
    assert {name: more[name] for name in before} == before
    assert set(more) - set(before) == {"training_02"}
    write_phantoms(copied, num_training=1, num_validation=0, num_test=0, seed=4, spacing_mm=SPACING_MM)
    assert times(copied)["training_00"] != before["training_00"]
