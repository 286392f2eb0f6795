from __future__ import annotations

from pathlib import Path

import pytest
import torch

from tests.hosts.deploy.conftest import Series
from tests.hosts.deploy_app import needs_deploy, run_app

pytestmark = [pytest.mark.slow, needs_deploy]


def test_a_folder_with_one_series_is_refused_and_listed(fixed: Series, tmp_path: Path) -> None:
    done = run_app(tmp_path, tmp_path / "out")
    assert done.returncode != 0
    assert "ValueError: --moving 'exp|exhal' matches 0 CT series, expected 1, of" in done.stderr
    assert f"  {fixed.slices[0].SeriesInstanceUID} 'inhale', CT, 10 instances" in done.stderr
    assert not list((tmp_path / "out").iterdir())


@pytest.mark.usefixtures("fixed", "moving")
def test_a_torchscript_file_without_its_recipe_is_refused(tmp_path: Path) -> None:
    """Although the current folder has a recipe in `models`."""
    path = tmp_path / "model.ts"
    torch.jit.script(torch.nn.Identity()).save(path)
    done = run_app(tmp_path, tmp_path / "out", "--model", path)
    assert done.returncode != 0
    assert f"FileNotFoundError: {path}: no recipe model.json beside these weights; training writes it" in done.stderr
    assert not list((tmp_path / "out").iterdir())
