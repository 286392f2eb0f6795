"""The command in processes of its own: drivers that are killed, refusals, lists to confirm."""

from __future__ import annotations

import csv
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from bundle.cohort.status import read_status
from scripts.cli import run
from scripts.cohort import cohort
from tests.cohort.conftest import REASON
from tests.cohort.pairs import contents, write_list, write_pairs

ROOT = Path(__file__).parents[2]
WAIT_S = 300.0
QUICK = ["--refine", "none", "--spacing_mm", "6", "--workers", "1"]


@pytest.fixture(scope="module")
def listed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("scans")
    write_pairs(folder, 3)
    return folder


def start(listed: Path, out: Path) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "scripts.cohort", "--pairs", str(listed), "--output_dir", str(out), *QUICK]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    return subprocess.Popen(command, cwd=ROOT, env=environment, stderr=subprocess.PIPE, text=True)


def test_a_killed_driver_goes_on_where_it_was_with_the_same_results(listed: Path, tmp_path: Path) -> None:
    pytest.importorskip("ray", reason=REASON)
    through, broken = tmp_path / "through", tmp_path / "broken"
    process = start(listed, broken)
    began_s = time.monotonic()
    while not read_status(broken / "status.jsonl"):
        assert process.poll() is None
        assert time.monotonic() - began_s < WAIT_S
        time.sleep(0.1)
    process.send_signal(signal.SIGKILL)
    process.communicate(timeout=WAIT_S)
    before = {path: path.stat().st_mtime_ns for path in broken.glob("*/report.json")}
    assert len(before) in (1, 2)
    with (broken / "status.jsonl").open("a") as log:
        log.write('{"name": "cut sho')  # as a line would be
    again = start(listed, broken)
    _, said = again.communicate(timeout=WAIT_S)
    assert again.returncode == 0, said
    assert f"{len(before)} of 3 pairs are finished" in said
    assert {path: path.stat().st_mtime_ns for path in before} == before
    rows = read_status(broken / "status.jsonl")
    assert sorted(row["name"] for row in rows) == ["pair_0", "pair_1", "pair_2"]
    assert not any((broken / ".cohort" / "status").iterdir())
    undisturbed = start(listed, through)
    _, said = undisturbed.communicate(timeout=WAIT_S)
    assert undisturbed.returncode == 0, said
    for row in rows:
        assert contents(broken / row["name"]) == contents(through / row["name"])


def refusal(*words: str, capsys: pytest.CaptureFixture[str]) -> str:
    with pytest.raises(SystemExit) as stopped:
        run(cohort, arguments=words)
    assert stopped.value.code == 2
    return capsys.readouterr().err.splitlines()[-1]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--workers", "0"], "--workers: expected 1 or more, got 0"),
        (["--threads", "0"], "--threads: expected 1 or more, got 0"),
        (["--gpus", "-1"], "--gpus: expected 0 or more, got -1.0"),
        (["--memory_gib", "0"], "--memory_gib: expected a number above 0, got 0"),
        (["--pair_timeout_s", "-5"], "--pair_timeout_s: expected a number above 0, got -5"),
        (["--shard", "11/10"], "--shard: expected a number and a count such as 3/10, got '11/10'"),
        (["--weights", "none.pt"], "none.pt: no such file (--weights)"),
        (["--spacing_mm", "900"], "--spacing_mm: expected 0.5 to 10 mm, got 900.0"),
        (["--spacing_mm", "0.01"], "--spacing_mm: expected 0.5 to 10 mm, got 0.01"),
        (["--write", "mesh"], "write: expected some of displacement, inverse, dicom, transform, got ['mesh']"),
        (["--refine", "all"], "refine: expected one of ('none', 'field', 'network'), got 'all'"),
        (["--refine_budget_s", "-1"], "refine_budget_s: expected seconds of 0 or more, got -1"),
        (["--spacing_mm", "0"], "--spacing_mm: expected 0.5 to 10 mm, got 0.0"),
        (["--smooth_mm", "2"], "--smooth_mm: expected --maps, the maps that are smoothed, got 2 mm without maps"),
    ],
)
def test_options_that_cannot_be_meant_are_refused_before_anything_is_written(
    options: list[str], words: str, listed: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    assert refusal("--pairs", str(listed), "--output_dir", str(out), *options, capsys=capsys) == words
    assert not out.exists()


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--address", "127.0.0.1:9"], "--address 127.0.0.1:9: expected a Ray cluster there: "),
        (["--gpus", "99"], "--gpus: expected a share of the "),
    ],
)
def test_workers_that_cannot_be_are_refused_before_anything_is_written(
    options: list[str], words: str, listed: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("ray", reason=REASON)
    out = tmp_path / "out"
    assert refusal("--pairs", str(listed), "--output_dir", str(out), *options, capsys=capsys).startswith(words)
    assert not out.exists()


def test_a_dry_run_names_every_pair_that_cannot_be_used_and_writes_nothing(
    listed: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    pytest.importorskip("ray", reason=REASON)
    pairs = json.loads((listed / "pairs.json").read_text())["test"]
    (tmp_path / "cut.nii.gz").write_bytes(Path(pairs[0]["fixed"]).read_bytes()[:900])
    bad = [
        {"name": "gone", "fixed": pairs[0]["fixed"], "moving": "gone.nii.gz"},
        {"name": "cut", "fixed": str(tmp_path / "cut.nii.gz"), "moving": pairs[0]["moving"]},
    ]
    file = write_list(tmp_path / "pairs.json", [*pairs, *bad])
    out = tmp_path / "out"
    caplog.set_level("INFO")
    with pytest.raises(SystemExit) as stopped:
        run(cohort, arguments=["--pairs", str(file), "--output_dir", str(out), "--dry_run", "true", "--workers", "2"])
    assert stopped.value.code == 2
    *_, first, second, reason = capsys.readouterr().err.splitlines()
    assert reason == "2 of 5 pairs cannot be used"
    assert first.startswith(f"pair 'gone': {tmp_path}/gone.nii.gz: no such file")
    assert second.startswith(f"pair 'cut': {tmp_path}/cut.nii.gz: ")
    assert any("3 pairs: about" in message and "with 2 workers" in message for message in caplog.messages)
    assert not out.exists()


def test_a_pair_without_result_ends_the_command_with_exit_code_3(listed: Path, tmp_path: Path) -> None:
    pytest.importorskip("ray", reason=REASON)
    scan = json.loads((listed / "pairs.json").read_text())["test"][0]["fixed"]
    file = tmp_path / "pairs.csv"
    file.write_text(f"name,fixed,moving\nonly,{scan},gone.nii.gz\n")
    with pytest.raises(SystemExit) as stopped:
        run(cohort, arguments=["--pairs", str(file), "--output_dir", str(tmp_path / "out"), *QUICK])
    assert stopped.value.code == 3
    (row,) = csv.DictReader((tmp_path / "out" / "status.csv").open())
    assert (row["name"], row["verdict"]) == ("only", "not registered")
    assert "gone.nii.gz: no such file" in row["reason"]
