"""Whole cohorts with real registrations, undisturbed and with every fault at once."""

from __future__ import annotations

import csv
import json
import os
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from html import escape
from pathlib import Path
from typing import Any

import pytest
from pydicom.uid import generate_uid

from bundle.cohort.estimate import look_at
from bundle.cohort.run import WorkerOptions, finish, run_cohort
from bundle.cohort.sources import read_cohort
from bundle.cohort.status import read_status
from scripts.register import register
from tests.cohort.pairs import QUICK, contents, write_huge, write_list, write_pairs
from tests.cohort.sources.test_studies import write_breath
from tests.cohort.stubs import working_processes

pytestmark = pytest.mark.usefixtures("ray_here")
TIMES = ("seconds_by_step", "scores")


@pytest.fixture(scope="module")
def pairs(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, str]]:
    return write_pairs(tmp_path_factory.mktemp("scans"), 3)


@pytest.fixture(scope="module")
def undisturbed(ray_here: None, pairs: list[dict[str, str]], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished cohort of all pairs; not to be changed."""
    out = tmp_path_factory.mktemp("undisturbed")
    assert not run_cohort(Path(pairs[0]["fixed"]).parent, out, options=QUICK, worker_options=WorkerOptions(workers=1))
    return out


def rows(folder: Path, name: str = "status") -> dict[str, dict[str, str]]:
    with (folder / f"{name}.csv").open() as file:
        return {row["name"]: row for row in csv.DictReader(file)}


def test_a_result_has_the_bytes_that_register_writes(
    undisturbed: Path, pairs: list[dict[str, str]], tmp_path: Path
) -> None:
    pair = pairs[1]  # registered by a worker that has done another one, after it was read ahead
    register(pair["fixed"], pair["moving"], str(tmp_path / "one"), **QUICK)  # type: ignore[arg-type]
    assert contents(undisturbed / pair["name"]) == contents(tmp_path / "one")
    found, expected = (
        json.loads((folder / "report.json").read_text()) for folder in (undisturbed / pair["name"], tmp_path / "one")
    )
    assert found.pop("name") == pair["name"]
    for report in (found, expected):
        assert set(report.pop("seconds_by_step")) > {"LoadImageSeriesd", "Network"}
        assert report["scores"].pop("time_s") > 0
        report.pop("name", None)
    assert found == expected
    assert {path.name for path in (undisturbed / pair["name"]).iterdir()} == {
        path.name for path in (tmp_path / "one").iterdir()
    }


def test_the_status_index_and_summary_list_every_pair(undisturbed: Path, pairs: list[dict[str, str]]) -> None:
    table = rows(undisturbed)
    assert [*table] == [pair["name"] for pair in pairs]
    for name, row in table.items():
        report = json.loads((undisturbed / name / "report.json").read_text())
        assert row["verdict"] == report["verdict"]
        assert float(row["lncc"]) == report["lncc"]["registered"]
        assert float(row["folding_percent"]) == report["scores"]["folding_percent"]
        assert float(row["seconds"]) >= sum(report["seconds_by_step"].values()) / 2
        assert (row["worker"], row["host"]) == ("1", os.uname().nodename)
    assert [row["name"] for row in read_status(undisturbed / "status.jsonl")] == [*table]
    summary = json.loads((undisturbed / "summary.json").read_text())
    assert summary["distributions"]["lncc"]["pairs"] == len(pairs)
    index = (undisturbed / "index.html").read_text()
    assert all(f"{name}/report.html" in index for name in table)
    assert not any((undisturbed / ".cohort" / "status").iterdir())


def test_a_second_run_registers_nothing_again(undisturbed: Path, pairs: list[dict[str, str]]) -> None:
    before = {path: path.stat().st_mtime_ns for path in undisturbed.glob("*/*")}
    table = rows(undisturbed)
    (undisturbed / "status.csv").unlink()
    assert not run_cohort(
        Path(pairs[0]["fixed"]).parent, undisturbed, options=QUICK, worker_options=WorkerOptions(workers=1)
    )
    assert {path: path.stat().st_mtime_ns for path in undisturbed.glob("*/*")} == before
    assert rows(undisturbed) == table
    assert len(read_status(undisturbed / "status.jsonl")) == len(pairs)


@pytest.mark.parametrize(
    ("file", "change", "options", "words"),
    [
        ("cohort.json", {}, {"spacing_mm": 5.0}, r"cohort\.json: expected spacing_mm 5\.0, found 6\.0; name another"),
        ("cohort.json", {"version": "0.1.0"}, {}, r"cohort\.json: expected version .*, found 0\.1\.0; name another"),
        ("cohort.json", {"weights_sha256": "abc"}, {}, r"cohort\.json: expected weights_sha256 \w{64}, found abc;"),
        (
            "pair_0/report.json",
            {"weights": {"sha256": "abc"}},
            {},
            r"pair_0/report\.json: .*weights.*found abc",
        ),
        ("pair_1/report.json", {"versions": {"bundle": "0.5.0"}}, {}, r"pair_1/report\.json: .*version.*found 0\.5\.0"),
        ("pair_2/report.json", {"files": {"fixed": "x"}}, {}, r"pair_2/report\.json: expected fixed .*, found x;"),
    ],
)
def test_a_folder_of_another_version_weights_or_options_is_refused_unchanged(
    file: str,
    change: dict[str, Any],
    options: dict[str, Any],
    words: str,
    undisturbed: Path,
    pairs: list[dict[str, str]],
    tmp_path: Path,
) -> None:
    for name in ("cohort.json", *(f"{pair['name']}/report.json" for pair in pairs)):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        content = json.loads((undisturbed / name).read_text())
        (tmp_path / name).write_text(json.dumps(content | (change if name == file else {})))
    before = {path: path.read_bytes() for path in tmp_path.rglob("*.json")}
    with pytest.raises(ValueError, match=words) as refused:
        run_cohort(
            Path(pairs[0]["fixed"]).parent, tmp_path, options=QUICK | options, worker_options=WorkerOptions(workers=1)
        )
    assert "\n" not in str(refused.value)
    assert {path: path.read_bytes() for path in tmp_path.rglob("*.json")} == before


def test_shards_share_a_folder_index_and_summary(undisturbed: Path, tmp_path: Path) -> None:
    first, *others = (undisturbed / "status.jsonl").read_text().splitlines(keepends=True)
    failed = json.dumps({"name": "gone", "verdict": "not registered", "reason": "no such file", "seconds": 0.1})
    (tmp_path / "status_1_of_2.jsonl").write_text(first)
    (tmp_path / "status_2_of_2.jsonl").write_text("".join(others) + failed + "\n")
    for number in range(3):
        (tmp_path / f"pair_{number}").mkdir()
        report = (undisturbed / f"pair_{number}" / "report.json").read_text()
        (tmp_path / f"pair_{number}" / "report.json").write_text(report)
    assert finish(tmp_path, [*(f"pair_{number}" for number in range(3)), "gone"])
    summary = json.loads((tmp_path / "summary.json").read_text())
    assert (summary["pairs"], summary["distributions"]["lncc"]["pairs"]) == (4, 3)
    assert all(name in (tmp_path / "index.html").read_text() for name in ("pair_0", "pair_1", "pair_2", "gone"))
    assert len((tmp_path / "verdicts.csv").read_text().splitlines()) == 4


def test_an_old_result_says_nothing_about_a_pair_that_failed_since(undisturbed: Path, tmp_path: Path) -> None:
    log = (undisturbed / "status.jsonl").read_text()
    failed = json.dumps({"name": "pair_0", "verdict": "not registered", "reason": "scan gone", "seconds": 0.1})
    (tmp_path / "status.jsonl").write_text(f"{log}{failed}\n")
    assert finish(tmp_path, ["pair_0"])
    summary = json.loads((tmp_path / "summary.json").read_text())
    assert (summary["pairs"], summary["verdicts"]["not registered"]) == (1, 1)
    assert "<li>scan gone" in (tmp_path / "index.html").read_text()


def test_a_failure_of_a_pair_that_left_the_list_is_history(undisturbed: Path, tmp_path: Path) -> None:
    failed = json.dumps({"name": "mistyped", "verdict": "not registered", "reason": "no such file", "seconds": 0.1})
    (tmp_path / "status.jsonl").write_text(f"{failed}\n" + (undisturbed / "status.jsonl").read_text())
    (tmp_path / "pair_0").symlink_to(undisturbed / "pair_0")
    assert not finish(tmp_path, ["pair_0", "pair_1"])
    assert "mistyped" not in (tmp_path / "index.html").read_text()


def test_dicom_studies_are_listed_to_look_at_and_the_list_is_a_cohort(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    studies = {"b": generate_uid(), "a": generate_uid()}
    for name, study in studies.items():
        for scale in (0.85, 1.0):
            uids = {"StudyInstanceUID": study, "SeriesInstanceUID": generate_uid()}
            write_breath(tmp_path / "studies" / name / str(scale), scale, SeriesDescription=f"{scale}", **uids)
    write_breath(tmp_path / "studies" / "single", 1.0)
    out = tmp_path / "out"
    caplog.set_level("INFO")
    assert not run_cohort(tmp_path / "studies", out, options=QUICK, worker_options=WorkerOptions(workers=1))
    assert {path.name for path in out.iterdir()} == {"pairs.csv", "left_out.csv"}
    assert f"2 pairs, 1 studies left out. Look at {out}/pairs.csv, then pass it as --pairs" in caplog.text
    (single,) = csv.DictReader((out / "left_out.csv").open())
    assert single["name"] == "single"
    assert "expected two scans with lungs" in single["reason"]
    listed, others = read_cohort(out / "pairs.csv")
    assert ([pair["name"] for pair in listed], others) == (["a", "b"], [])
    assert not any(look.problem for look in look_at(listed))
    rows = list(csv.DictReader((out / "pairs.csv").open()))
    assert all(row["note"].startswith("inhale '1.0', exhale '0.85'") for row in rows)
    assert all(float(row["fixed_lungs_ml"]) > float(row["moving_lungs_ml"]) for row in rows)


@pytest.fixture(scope="module")
def disturbed(
    ray_here: None, pairs: list[dict[str, str]], tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, list[int]]:
    """A cohort with a worker that is killed, a scan that vanishes, one that never ends, and one beyond the memory."""
    folder = tmp_path_factory.mktemp("disturbed")
    scan = pairs[0]["fixed"]
    gone, endless = folder / "gone.nii.gz", folder / "endless.nii"
    gone.write_bytes(Path(scan).read_bytes())
    os.mkfifo(endless)
    bad = [
        {"name": "huge", "fixed": str(write_huge(folder / "huge.nii")), "moving": scan},
        {"name": "endless", "fixed": str(endless), "moving": scan},
        {"name": "gone", "fixed": scan, "moving": str(gone)},
    ]
    listed = write_list(folder / "pairs.json", [pairs[0], bad[0], pairs[1], bad[1], bad[2], pairs[2]])
    killed: list[int] = []

    def kill_the_first_and_remove() -> None:
        while not killed:
            time.sleep(1.0)
            for pid in working_processes(os.getpid())[:1]:
                os.kill(pid, signal.SIGKILL)
                killed.append(pid)
        gone.unlink()

    thread = threading.Thread(target=kill_the_first_and_remove)
    thread.start()
    worker_options = WorkerOptions(workers=1, memory_gib=3.0, timeout_s=25.0)
    assert run_cohort(listed, folder / "out", options=QUICK, worker_options=worker_options)
    thread.join()
    return folder / "out", killed


def test_a_worker_killed_amid_a_pair_costs_nothing_but_time(
    disturbed: tuple[Path, list[int]], undisturbed: Path, pairs: list[dict[str, str]]
) -> None:
    out, killed = disturbed
    assert len(killed) == 1
    for pair in pairs:
        assert contents(out / pair["name"]) == contents(undisturbed / pair["name"])


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("huge", "out of memory (limit of a worker: 3 GiB)"),
        ("endless", "took longer than the time limit of 25 s"),
        ("gone", "gone.nii.gz: no such file or folder"),
    ],
)
def test_a_pair_that_cannot_be_registered_fails_alone_with_its_reason(
    name: str, words: str, disturbed: tuple[Path, list[int]]
) -> None:
    out, _ = disturbed
    row = rows(out)[name]
    assert row["verdict"] == "not registered"
    assert words in row["reason"]
    assert not (out / name).exists()
    assert not any((out / ".cohort" / "status").iterdir())
    assert f"<li>{escape(row['reason'])}" in (out / "index.html").read_text()
    assert json.loads((out / "summary.json").read_text())["verdicts"]["not registered"] == 3


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Callable[[int], Path]]:
    """A disk of a few MB, in memory; called again, with another size."""
    place = tmp_path / "disk"
    place.mkdir()

    def mount(mebibytes: int) -> Path:
        option = f"{'remount,' if place.is_mount() else ''}size={mebibytes}m"
        done = subprocess.run(["mount", "-t", "tmpfs", "-o", option, "tmpfs", place], capture_output=True, text=True)
        if done.returncode:
            pytest.skip(f"no disk can be mounted: a full disk stays unchecked: {done.stderr.strip()}")
        return place

    yield mount
    if place.is_mount():
        subprocess.run(["umount", "--lazy", place], check=True)


def test_a_full_disk_stops_the_run_with_whole_results_and_room_lets_it_go_on(
    small_disk: Callable[[int], Path], undisturbed: Path, pairs: list[dict[str, str]]
) -> None:
    sizes = [sum(file.stat().st_size for file in (undisturbed / pair["name"]).iterdir()) for pair in pairs[:2]]
    out = small_disk(round(1.5 * max(sizes)) >> 20) / "out"
    listed = write_list(out.parent.parent / "pairs.json", pairs[:2])
    with pytest.raises(OSError, match=r"the disk is full: 1 pairs are left; free space, then run again"):
        run_cohort(listed, out, options=QUICK, worker_options=WorkerOptions(workers=1))
    assert contents(out / "pair_0") == contents(undisturbed / "pair_0")
    assert not (out / "pair_1").exists()
    first = (out / "pair_0" / "report.json").stat().st_mtime_ns
    small_disk(64)
    assert not run_cohort(listed, out, options=QUICK, worker_options=WorkerOptions(workers=1))
    assert (out / "pair_0" / "report.json").stat().st_mtime_ns == first
    assert contents(out / "pair_1") == contents(undisturbed / "pair_1")
