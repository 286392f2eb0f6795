from pathlib import Path

import pytest

from bundle.io import atomic_path


def test_a_file_appears_whole_and_keeps_its_suffixes(tmp_path: Path) -> None:
    target = tmp_path / "warped.nii.gz"
    with atomic_path(target) as temporary:
        temporary.write_text("new")
        assert temporary.name == target.name
        assert not target.exists()
    assert target.read_text() == "new"
    assert list(tmp_path.iterdir()) == [target]


def write_half(target: Path) -> None:
    with atomic_path(target) as temporary:
        temporary.write_text("half")
        raise RuntimeError("disk full")


def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    target = tmp_path / "report.json"
    target.write_text("old")
    with pytest.raises(RuntimeError, match="disk full"):
        write_half(target)
    assert target.read_text() == "old"
    assert list(tmp_path.iterdir()) == [target]


def test_a_missing_folder_is_named(tmp_path: Path) -> None:
    with (
        pytest.raises(FileNotFoundError, match=r"a\.csv: the folder .*nowhere does not exist"),
        atomic_path(tmp_path / "nowhere" / "a.csv"),
    ):
        pass
