from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[3]


def test_the_command_reports_what_is_in_its_folder(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "scripts.benchmark", "report", "--out", str(tmp_path)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode != 0
    assert f"{tmp_path}: no result of a benchmark in this folder" in done.stderr
