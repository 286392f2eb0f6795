from __future__ import annotations

import errno
import os
import shutil
import time
from pathlib import Path

import pytest

from bundle.hosts.label import result_folders
from bundle.hosts.label.conf import ServerConf
from bundle.hosts.label.result_folders import check_disk, new_folder, remove_expired
from tests.mounts import read_only


def result(parent: Path, name: str, *, age_h: float, finished: bool = True) -> Path:
    """A result folder of some age."""
    folder = parent / name
    folder.mkdir(parents=True)
    (folder / "warped.nii.gz").write_bytes(b"0" * 1000)
    if finished:
        (folder / "report.json").write_text("{}")
    then = time.time() - age_h * 3600
    for path in (*folder.iterdir(), folder):
        os.utime(path, (then, then))
    return folder


def test_old_results_and_what_failed_requests_left_are_removed_and_nothing_else(tmp_path: Path) -> None:
    digits = "0123456789abcdef" * 2
    old = result(tmp_path, f"a_{digits}", age_h=3)
    failed = result(tmp_path, f"b_{digits}", age_h=3, finished=False)
    kept = [
        result(tmp_path, f"c_{digits}", age_h=1),
        result(tmp_path, f"d_{digits}", age_h=0.5, finished=False),  # may be in work
        result(tmp_path, "inhale", age_h=100),  # of `monai.bundle run`, in the same place
    ]
    elsewhere = result(tmp_path / "elsewhere", f"e_{digits}", age_h=100)
    (tmp_path / f"f_{digits}").symlink_to(elsewhere)
    remove_expired(tmp_path, 2.0)
    assert not old.exists()
    assert not failed.exists()
    assert all(folder.exists() for folder in (*kept, elsewhere))


def test_results_in_work_are_kept_also_where_others_go_at_once(tmp_path: Path) -> None:
    busy = result(tmp_path, f"a_{'0' * 32}", age_h=0.5, finished=False)
    done = result(tmp_path, f"b_{'0' * 32}", age_h=0.5)
    remove_expired(tmp_path, 0.0)
    assert busy.exists()
    assert not done.exists()


def test_every_request_gets_a_folder_of_its_own_below_the_results(tmp_path: Path) -> None:
    conf = ServerConf(results_dir=tmp_path / "results")
    folders = {new_folder(tmp_path / "default", "inhale", conf) for _ in range(3)}
    assert len(folders) == 3
    assert {folder.parent for folder in folders} == {tmp_path / "results"}
    assert not (tmp_path / "default").exists()


def test_too_many_results_are_refused_until_old_ones_are_removed(tmp_path: Path) -> None:
    conf = ServerConf(max_results_gb=1.5e-6, keep_hours=2)
    result(tmp_path, f"a_{'0' * 32}", age_h=1)
    new_folder(tmp_path, "inhale", conf)
    second = result(tmp_path, f"b_{'0' * 32}", age_h=1)
    with pytest.raises(OSError, match=r"results take .* the limit is 1\.5e-06; retry later") as caught:
        new_folder(tmp_path, "inhale", conf)
    assert caught.value.errno == errno.ENOSPC
    then = time.time() - 3 * 3600
    os.utime(second / "report.json", (then, then))
    new_folder(tmp_path, "inhale", conf)


def test_a_disk_keeps_its_reserve(tmp_path: Path) -> None:
    free_gb = shutil.disk_usage(tmp_path).free / 1e9
    check_disk(tmp_path, free_gb / 2)
    for reserve, needed in ((free_gb * 2, 0), (free_gb / 2, int(free_gb * 1e9))):
        with pytest.raises(OSError, match="the disk must keep") as caught:
            check_disk(tmp_path, reserve, needed)
        assert caught.value.errno == errno.ENOSPC


def test_results_go_to_the_temporary_folder_if_the_bundle_is_read_only(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "bundle").mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    with read_only(tmp_path / "bundle"):
        folder = new_folder(tmp_path / "bundle" / "runs" / "inference", "inhale", ServerConf())
        with pytest.raises(OSError, match="output folder"):  # a folder that was asked for is not replaced silently
            new_folder(tmp_path, "inhale", ServerConf(results_dir=tmp_path / "bundle" / "results"))
    assert folder.parent == tmp_path / f"lung_ct_registration_{os.getuid()}"
    assert folder.parent.stat().st_mode & 0o077 == 0
    result_folders.places.clear()


def test_a_folder_that_another_user_has_laid_there_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    (tmp_path / "theirs").mkdir()
    (tmp_path / f"lung_ct_registration_{os.getuid()}").symlink_to(tmp_path / "theirs")
    (tmp_path / "bundle").mkdir()
    with read_only(tmp_path / "bundle"), pytest.raises(PermissionError, match="belongs to another user"):
        new_folder(tmp_path / "bundle" / "runs", "inhale", ServerConf())
