from __future__ import annotations

import os
from pathlib import Path

import pytest

from bundle.hosts.label.conf import ServerConf, server_conf


def test_what_is_set_replaces_the_defaults_and_settings_of_others_are_left_alone(tmp_path: Path) -> None:
    conf = ServerConf.read({"keep_hours": "0.5", "max_waiting": "2", "results_dir": str(tmp_path), "models": "lungs"})
    assert conf == ServerConf(keep_hours=0.5, max_waiting=2, results_dir=tmp_path)


def test_several_roots_the_datastore_and_posted_files_are_allowed_without_links(tmp_path: Path) -> None:
    folders = [tmp_path / name for name in ("a", "b", "studies", "posted")]
    for folder in folders:
        folder.mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "a")
    roots = os.pathsep.join([str(tmp_path / "link"), str(tmp_path / "b")])
    conf = ServerConf.read({"allowed_root": roots, "uploads_dir": str(folders[3])}, str(folders[2]))
    assert conf.allowed_root == tuple(folder.resolve() for folder in folders)
    assert ServerConf.read({"uploads_dir": str(folders[3])}, str(folders[2])).allowed_root == ()


@pytest.mark.parametrize(
    ("conf", "message"),
    [
        ({"keep_hours": "soon"}, "keep_hours: expected a number of 0 or more, got 'soon'"),
        ({"max_request_mb": "-1"}, "max_request_mb: expected a number of 0 or more, got '-1'"),
        ({"min_free_gb": "nan"}, "min_free_gb: expected a number"),
        ({"max_results_gb": "inf"}, "max_results_gb: expected a number"),
        ({"max_waiting": "1.5"}, "max_waiting: expected a whole number of 0 or more, got '1.5'"),
        ({"allowed_root": "data"}, "allowed_root: expected absolute paths of folders, got 'data'"),
        ({"allowed_root": "/no/such/folder"}, "allowed_root: /no/such/folder: no such folder"),
    ],
)
def test_a_wrong_setting_is_named(conf: dict[str, str], message: str) -> None:
    with pytest.raises((ValueError, FileNotFoundError), match=f"^{message}"):
        ServerConf.read(conf)


def test_an_empty_root_is_refused_rather_than_ignored() -> None:
    with pytest.raises(ValueError, match="allowed_root: expected absolute paths"):
        ServerConf.read({"allowed_root": ""})


def test_outside_a_server_there_are_defaults() -> None:
    assert server_conf() == ServerConf()
