from __future__ import annotations

from pathlib import Path

import pytest
import torch

from tests.hosts.deploy_app import needs_deploy, run_app

pytestmark = [pytest.mark.slow, needs_deploy]


@pytest.mark.usefixtures("fixed", "moving")
def test_a_torchscript_file_without_its_recipe_is_refused(tmp_path: Path) -> None:
    """Although the current folder has a recipe in `models`."""
    path = tmp_path / "model.ts"
    torch.jit.script(torch.nn.Identity()).save(path)
    done = run_app(tmp_path, tmp_path / "out", "--model", path)
    assert done.returncode != 0
    assert f"FileNotFoundError: {path}: no recipe model.json beside these weights; training writes it" in done.stderr
    assert not list((tmp_path / "out").iterdir())
