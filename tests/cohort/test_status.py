from __future__ import annotations

import csv
import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from bundle.cohort.row import COLUMNS
from bundle.cohort.status import Status, read_status
from tests.mounts import small_disk


def row(name: str, verdict: str = "ok", **more: Any) -> dict[str, Any]:
    return {"name": name, "verdict": verdict, "seconds": 2.5, "lncc": 0.7, "worker": 1, "host": "h", **more}


def table(stem: Path) -> list[dict[str, str]]:
    with stem.with_suffix(".csv").open() as file:
        return list(csv.DictReader(file))


def test_rows_are_in_both_files_as_soon_as_they_are_added(tmp_path: Path) -> None:
    with Status(tmp_path / "status") as status:
        assert table(tmp_path / "status") == []
        status.add(row("a", reason='of "two", words'))
        (listed,) = table(tmp_path / "status")
        (logged,) = read_status(tmp_path / "status.jsonl")
        assert tuple(listed) == tuple(logged) == COLUMNS
        assert (listed["name"], listed["reason"], listed["lncc"]) == ("a", 'of "two", words', "0.7")
        assert (logged["seconds"], logged["tre_mm"], logged["worker"]) == (2.5, None, 1)
        status.add(row("b", "not registered"), trace="Traceback")
        assert [line["name"] for line in table(tmp_path / "status")] == ["a", "b"]
        assert read_status(tmp_path / "status.jsonl")[1]["trace"] == "Traceback"


def test_a_second_run_keeps_the_log_and_drops_failures_from_the_table(tmp_path: Path) -> None:
    with Status(tmp_path / "status") as status:
        status.add(row("a"))
        status.add(row("b", "not registered", reason="no such file"))
    with Status(tmp_path / "status", [row("a", seconds=1.0, worker=None, host=None)]) as status:
        (listed,) = table(tmp_path / "status")
        assert (listed["name"], listed["seconds"], listed["worker"], listed["host"]) == ("a", "2.5", "1", "h")
        status.add(row("b"))
    assert [(line["name"], line["verdict"]) for line in table(tmp_path / "status")] == [("a", "ok"), ("b", "ok")]
    assert [line["verdict"] for line in read_status(tmp_path / "status.jsonl")] == ["ok", "not registered", "ok"]


def test_a_line_that_was_cut_short_is_left_out_and_what_it_said_is_taken_from_the_result(tmp_path: Path) -> None:
    with Status(tmp_path / "status") as status:
        status.add(row("a"))
    with (tmp_path / "status.jsonl").open("a") as log:
        log.write(json.dumps(row("b"))[:20])
    with Status(tmp_path / "status", [row("a"), {"name": "b", "verdict": "check", "seconds": 4.0}]) as status:
        status.add(row("c"))
    assert [line["name"] for line in read_status(tmp_path / "status.jsonl")] == ["a", "b", "c"]
    assert [(line["name"], line["seconds"]) for line in table(tmp_path / "status")] == [
        ("a", "2.5"),
        ("b", "4.0"),
        ("c", "2.5"),
    ]


def test_there_may_be_no_log(tmp_path: Path) -> None:
    assert read_status(tmp_path / "status.jsonl") == []


def test_a_full_disk_names_the_status(tmp_path: Path) -> None:
    with small_disk(tmp_path, "40k"):
        status = Status(tmp_path / "status")
        subprocess.run(["dd", "if=/dev/zero", f"of={tmp_path}/ballast", "bs=1k"], capture_output=True, check=False)

        def fill() -> None:
            with status:
                for number in range(100):  # what is left of the file's last page is still written
                    status.add(row(f"pair_{number}", reason="x" * 100))

        with pytest.raises(OSError, match=rf"No space left on device: '{tmp_path}/status\.jsonl'"):
            fill()
