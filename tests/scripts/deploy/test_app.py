from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from scripts.deploy.app import main
from tests.formats.dicom.conftest import write_series
from tests.hosts.deploy_app import ROOT, needs_deploy, run_app


def run_here(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    """Run the command in the environment of the tests, which lacks MONAI Deploy."""
    command = [sys.executable, "-m", "scripts.deploy.app", *map(str, arguments)]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True)


@pytest.mark.parametrize("option", ["--output_dir", "--output", "--out"])
def test_a_folder_with_earlier_results_is_refused_before_monai_deploy_is_imported(option: str, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "report.json").touch()
    done = run_here("--input", tmp_path, option, tmp_path / "out")
    assert done.returncode != 0
    assert f"{tmp_path / 'out'}: expected an empty folder for the results" in done.stderr.splitlines()[-1]


def test_a_missing_input_is_refused_and_leaves_no_folder(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="scans: no such folder"):
        main(str(tmp_path / "scans"), str(tmp_path / "out"))
    assert not (tmp_path / "out").exists()


def test_voxels_beyond_the_limits_are_refused_before_the_series_are_looked_for(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"^--spacing_mm: expected 0\.5 to 10 mm, got 900$"):
        main(str(tmp_path), str(tmp_path / "out"), spacing_mm=900)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("option", ["--fixed_series", "--fixed"])
def test_the_series_of_the_folder_are_listed_before_monai_deploy_is_imported(option: str, tmp_path: Path) -> None:
    write_series(tmp_path / "scans", SeriesDescription="in")
    done = run_here("--input", tmp_path / "scans", "--output_dir", tmp_path / "out", option, "lung")
    assert done.returncode == 2
    *_, listed, reason = done.stderr.splitlines()
    assert "'in', CT, 10 slices, 0.7 x 1.1 x 2.5 mm" in listed
    assert "expected one volume for series 'lung', found 0; choose one by a UID or a regular expression on" in reason
    assert "(--fixed_series)" in reason
    assert not (tmp_path / "out").exists()


@pytest.mark.slow
@needs_deploy
def test_a_model_that_is_no_torchscript_file_is_refused(tmp_path: Path) -> None:
    for number, name in enumerate(("inhale", "exhale")):
        write_series(tmp_path / "scans" / name, seed=number, SeriesDescription=name)
    (tmp_path / "model.ts").write_text("state dict")
    done = run_app(tmp_path / "scans", tmp_path / "out", "--model", tmp_path / "model.ts")
    assert done.returncode != 0
    assert f"{tmp_path / 'model.ts'}: not a TorchScript file" in done.stderr
