from __future__ import annotations

import csv
import os
from collections import Counter
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any, ClassVar

import pytest

from bundle.cohort import Answer, WorkerPool
from bundle.cohort.run import work_on
from bundle.cohort.status import Status
from bundle.cohort.worker_pool import MAX_DEATHS
from tests.cohort.stubs import Scripted, memory_bytes, trivial

MANY = 10_000
SETTLED = 2_000  # pairs after which memory no longer grows

pytestmark = pytest.mark.usefixtures("ray_here")


def answers(folder: Path, items: list[dict[str, Any]], **options: Any) -> dict[str, Answer]:
    """What became of items, by name; each must come exactly once."""
    pool = WorkerPool(partial(Scripted, folder), **{"workers": 2, **options})
    results = list(pool.run(items))
    assert Counter(result.item["name"] for result in results) == {item["name"]: 1 for item in items}
    return {result.item["name"]: result.answer for result in results}


def test_an_item_whose_worker_was_killed_is_handed_out_again_alone(tmp_path: Path) -> None:
    items = [{"name": name, "do": "die once" if name == "b" else ""} for name in "abcd"]
    found = answers(tmp_path, items, workers=1)
    assert {name: answer.kind for name, answer in found.items()} == dict.fromkeys("abcd", "done")
    first, second = Scripted(tmp_path).lines("b")
    assert first.split()[0] != second.split()[0]
    assert first.endswith(" c")
    assert second.endswith(" ")  # nothing is read beside it
    assert {name: Scripted(tmp_path).count(name) for name in "acd"} == {"a": 1, "c": 1, "d": 1}


def test_an_item_that_kills_every_worker_is_given_up_and_the_others_are_done(tmp_path: Path) -> None:
    found = answers(tmp_path, [{"name": "bad", "do": "die"}, {"name": "good"}, {"name": "other"}])
    assert found["bad"].kind == "fault"
    assert f"{MAX_DEATHS} workers died" in found["bad"].reason
    assert Scripted(tmp_path).count("bad") == MAX_DEATHS
    assert (found["good"].kind, found["other"].kind) == ("done", "done")


def test_an_item_over_its_time_limit_is_given_up_alone(tmp_path: Path) -> None:
    found = answers(tmp_path, [{"name": "slow", "do": "hang"}, {"name": "a"}, {"name": "b"}], timeout_s=2.0, workers=1)
    assert found["slow"].reason == "took longer than the time limit of 2 s"
    assert 2.0 <= found["slow"].seconds < 60.0
    assert Scripted(tmp_path).count("slow") == 1
    assert (found["a"].kind, found["b"].kind) == ("done", "done")


def test_an_item_beyond_the_memory_limit_fails_alone(tmp_path: Path) -> None:
    items = [{"name": "big", "do": "allocate", "bytes": 3 << 30}, {"name": "small", "do": "allocate", "bytes": 1 << 20}]
    found = answers(tmp_path, items, workers=1, memory_gib=2.0)
    assert found["big"].kind == "out of memory"
    assert found["big"].reason.startswith("out of memory (limit of a worker: 2 GiB)")
    assert found["small"].row["bytes"] == 1 << 20


def test_refusals_and_faults_are_told_apart(tmp_path: Path) -> None:
    found = answers(tmp_path, [{"name": "gone", "do": "refuse"}, {"name": "err", "do": "err"}])
    assert (found["gone"].kind, found["gone"].reason) == ("refused", "gone: no such file or folder")
    assert (found["err"].kind, found["err"].reason) == ("fault", "KeyError: 'of the program'")
    assert "Traceback" in found["err"].trace


def test_the_last_items_do_not_wait_behind_a_slow_one(tmp_path: Path) -> None:
    items = [{"name": "slow", "do": "sleep", "seconds": 3.0}, *({"name": name} for name in "abc")]
    results = list(WorkerPool(partial(Scripted, tmp_path), workers=2).run(items))
    assert results[-1].item["name"] == "slow"  # what its worker had read ahead was taken by the other one


def test_a_worker_that_cannot_start_ends_the_run_with_its_reason() -> None:
    with pytest.raises(ValueError, match="no such weights"):
        list(WorkerPool(refuse_to_start, workers=2).run([{"name": "a"}]))


def refuse_to_start() -> Scripted:
    raise FileNotFoundError("model.pt: no such weights")


class WatchedStatus(Status):
    """Notes the memory of all processes of the run after some pairs."""

    used_bytes: ClassVar[dict[int, int]] = {}
    count = 0

    def add(self, row: Mapping[str, Any], **more: Any) -> None:
        super().add(row, **more)
        self.count += 1
        if self.count in (SETTLED, MANY):
            self.used_bytes[self.count] = memory_bytes(os.getpid())


def test_ten_thousand_pairs_are_scheduled_without_memory_growth(tmp_path: Path) -> None:
    pairs = [{"name": f"pair_{number}"} for number in range(MANY)]
    with WatchedStatus(tmp_path / "status") as status:
        work_on(pairs, WorkerPool(trivial, workers=2), status, tmp_path)
    rows = list(csv.DictReader((tmp_path / "status.csv").open()))
    assert Counter(row["name"] for row in rows) == {pair["name"]: 1 for pair in pairs}
    growth_bytes = status.used_bytes[MANY] - status.used_bytes[SETTLED]
    assert growth_bytes / (MANY - SETTLED) < 1024  # of all processes; the row of a pair alone has 300 bytes, as text
