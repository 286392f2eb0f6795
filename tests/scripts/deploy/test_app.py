from __future__ import annotations

from pathlib import Path

import pytest

from tests.hosts.deploy.conftest import Series
from tests.hosts.deploy_app import needs_deploy, run_app

pytestmark = [pytest.mark.slow, needs_deploy]


def test_a_folder_with_earlier_results_is_refused(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "report.json").touch()
    done = run_app(tmp_path, tmp_path / "out")
    assert done.returncode != 0
    assert f"ValueError: {tmp_path / 'out'}: expected an empty folder for the results" in done.stderr


def test_a_model_that_is_no_torchscript_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "model.ts").write_text("state dict")
    done = run_app(tmp_path, tmp_path / "out", "--model", tmp_path / "model.ts")
    assert done.returncode != 0
    assert f"ValueError: {tmp_path / 'model.ts'}: not a TorchScript file" in done.stderr


def test_a_folder_with_one_series_is_refused_and_listed(fixed: Series, tmp_path: Path) -> None:
    done = run_app(tmp_path, tmp_path / "out")
    assert done.returncode != 0
    assert "ValueError: --moving 'exp|exhal' matches 0 CT series, expected 1, of" in done.stderr
    assert f"  {fixed.slices[0].SeriesInstanceUID} 'inhale', CT, 10 instances" in done.stderr
    assert not list((tmp_path / "out").iterdir())
