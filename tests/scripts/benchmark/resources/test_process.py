from __future__ import annotations

import sys
from pathlib import Path

import pytest

from bundle.refusals import FAILED
from scripts.benchmark.resources.process import run_measured


def test_time_and_peak_memory_are_those_of_the_command(tmp_path: Path) -> None:
    code = "import os, time; block = b'1' * (200 << 20); print(os.environ['GREETING']); time.sleep(0.5)"
    cost = run_measured([sys.executable, "-c", code], folder=tmp_path, cwd=tmp_path, environment={"GREETING": "hello"})
    assert 200 < cost.peak_memory_mib < 260
    assert 0.5 < cost.time_s < 30
    assert 0 < cost.cpu_s < 30
    assert (tmp_path / "log.txt").read_text() == "hello\n"


def test_the_memory_of_the_caller_does_not_count(tmp_path: Path) -> None:
    block = b"1" * (300 << 20)
    cost = run_measured([sys.executable, "-c", "pass"], folder=tmp_path, cwd=tmp_path, environment={})
    assert cost.peak_memory_mib < 60 < len(block)


def test_a_command_that_fails_tells_the_end_of_its_log(tmp_path: Path) -> None:
    code = "raise SystemExit('out of landmarks')"
    with pytest.raises(RuntimeError, match=r"log\.txt: .*failed:\nout of landmarks"):
        run_measured([sys.executable, "-c", code], folder=tmp_path, cwd=tmp_path, environment={})


def test_a_result_whose_verdict_is_failed_is_measured(tmp_path: Path) -> None:
    command = [sys.executable, "-c", f"raise SystemExit({FAILED})"]
    assert run_measured(command, folder=tmp_path, cwd=tmp_path, environment={}).time_s > 0


def test_the_cpu_seconds_are_those_of_all_processes_of_the_command(tmp_path: Path) -> None:
    spin = "import time\nwhile time.process_time() < 0.4: pass"
    code = f"import subprocess, sys; [subprocess.run([sys.executable, '-c', {spin!r}]) for _ in range(2)]"
    cost = run_measured([sys.executable, "-c", code], folder=tmp_path, cwd=tmp_path, environment={})
    assert 0.8 <= cost.cpu_s < 2


def test_a_variable_without_a_value_is_removed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GREETING", "hello")
    code = "import os; print('GREETING' in os.environ)"
    run_measured([sys.executable, "-c", code], folder=tmp_path, cwd=tmp_path, environment={"GREETING": None})
    assert (tmp_path / "log.txt").read_text() == "False\n"
