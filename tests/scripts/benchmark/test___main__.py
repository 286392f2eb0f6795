from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]


@pytest.mark.parametrize("option", ["--output_dir", "--out"])
def test_the_command_reads_the_results_of_its_folder(option: str, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "scripts.benchmark", "report", option, str(tmp_path)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode != 0
    assert f"{tmp_path}: expected at least one benchmark result" in done.stderr
