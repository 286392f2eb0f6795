from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest
import torch

from scripts.label_server import declare_operators, writable_app
from tests.hosts.label_server import MAIN, PYTHON, ROOT, needs_label
from tests.mounts import read_only


def test_what_torchvision_looks_up_is_declared() -> None:
    library = declare_operators()
    assert str(torch.ops.torchvision.nms.default) == "torchvision.nms.default"
    assert str(torch.ops.torchvision.qnms.default) == "torchvision.qnms.default"
    del library


@pytest.mark.slow
@needs_label
def test_monai_label_starts_and_says_its_version() -> None:
    done = subprocess.run([PYTHON, MAIN, "--version"], capture_output=True, text=True, check=True)
    assert "MONAILabel version: 0.8.5" in done.stdout


def test_an_app_that_cannot_be_written_is_linked_without_its_logs(tmp_path: Path) -> None:
    app, temporary = tmp_path / "app_of_others", tmp_path / "temporary"
    (app / "logs").mkdir(parents=True)
    (app / "main.py").write_text("app = 1")
    temporary.mkdir()
    assert writable_app(app, temporary) == app
    with read_only(app):
        linked = writable_app(app, temporary)
        assert {path.name for path in linked.iterdir()} == {"main.py"}
        assert (linked / "main.py").read_text() == "app = 1"
        (linked / "logs").mkdir()


@pytest.mark.slow
@needs_label
def test_a_wrong_setting_ends_the_start_with_its_reason_and_leaves_nothing(tmp_path: Path) -> None:
    (tmp_path / "studies").mkdir()
    (tmp_path / "tmp").mkdir()
    command = [PYTHON, MAIN, "start_server", "--app", ROOT / "scripts" / "label_app", "--studies", tmp_path / "studies"]
    done = subprocess.run(
        [*command, "--conf", "allowed_root", tmp_path / "none"],
        env={**os.environ, "TMPDIR": str(tmp_path / "tmp")},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert done.stderr.splitlines()[-1] == f"allowed_root: {tmp_path / 'none'}: no such folder"
    assert not list((tmp_path / "tmp").glob("label_server_*"))
