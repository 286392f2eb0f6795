from __future__ import annotations

import csv
import json
import subprocess
import sys
from pathlib import Path

import pytest

from bundle.quality import end_with_verdicts, write_verdicts

ROOT = Path(__file__).parents[2]


def report(folder: Path, verdict: str, *reasons: str) -> dict[str, str]:
    folder.mkdir(parents=True, exist_ok=True)
    content = {"name": folder.name, "verdict": verdict, "reasons": reasons}
    (folder / "report.json").write_text(json.dumps(content))
    return {"name": folder.name, "output_dir": str(folder)}


def test_the_worst_pairs_come_first_and_pairs_of_earlier_runs_are_kept(tmp_path: Path) -> None:
    report(tmp_path / "a", "ok")
    pairs = [report(tmp_path / "b", "check", "one", "two"), report(tmp_path / "c", "failed", "three")]
    pairs.append(report(tmp_path / "d", "ok"))
    assert write_verdicts(pairs, tmp_path)
    rows = list(csv.DictReader((tmp_path / "verdicts.csv").open(newline="")))
    assert [(row["verdict"], row["name"], row["reasons"]) for row in rows] == [
        ("failed", "c", "three"),
        ("check", "b", "one; two"),
        ("ok", "a", ""),
        ("ok", "d", ""),
    ]


@pytest.mark.parametrize(("verdict", "has_failed"), [("ok", False), ("check", False), ("failed", True)])
def test_a_single_pair_needs_no_table(
    verdict: str, has_failed: bool, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    report(tmp_path / "earlier", "failed")  # of a run of many into the same folder
    caplog.set_level("INFO")
    assert write_verdicts([report(tmp_path, verdict, "one", "two")], tmp_path) is has_failed
    assert caplog.messages == [f"verdict on {tmp_path.name}: {verdict}: one; two"]
    assert not (tmp_path / "verdicts.csv").exists()


@pytest.mark.parametrize(("verdict", "code"), [("check", 0), ("failed", 3)])
def test_the_command_of_monai_ends_with_another_code_only(verdict: str, code: int, tmp_path: Path) -> None:
    pairs = [report(tmp_path, verdict)]
    end_with_verdicts(pairs, tmp_path)  # this process is no command
    config = {"run": [{"_target_": "bundle.quality.end_with_verdicts", "pairs": pairs, "output_dir": str(tmp_path)}]}
    (tmp_path / "config.json").write_text(json.dumps(config))
    command = [sys.executable, "-m", "monai.bundle", "run", "--config_file", str(tmp_path / "config.json")]
    assert subprocess.run(command, cwd=ROOT, capture_output=True, check=False).returncode == code
