"""Ray clusters: by address, with a machine that goes, and with clocks that are set back."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import textwrap
from collections import Counter
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from bundle.cohort import WorkerPool
from bundle.cohort.session import ray_session, room_for_workers
from tests.cohort.conftest import REASON
from tests.cohort.stubs import Scripted

ROOT = Path(__file__).parents[2]


@pytest.fixture
def cluster() -> Iterator[Any]:
    """Two machines of one processor each, as far as Ray can tell."""
    ray = pytest.importorskip("ray", reason=REASON)
    from ray.cluster_utils import Cluster

    on_termination = signal.getsignal(signal.SIGTERM)
    made = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False})
    yield made
    ray.shutdown()
    made.shutdown()
    signal.signal(signal.SIGTERM, on_termination)


def test_a_machine_that_goes_costs_no_item(cluster: Any, tmp_path: Path) -> None:
    second = cluster.add_node(num_cpus=1)
    items = [{"name": f"item_{number}", "do": "sleep", "seconds": 1.0} for number in range(8)]
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # as commands have it
    with ray_session(cluster.address):
        assert signal.getsignal(signal.SIGTERM) is signal.default_int_handler
        assert room_for_workers(1, None) == (2, 0.0)
        assert room_for_workers(2, 0.0) == (1, 0.0)
        with pytest.raises(ValueError, match=r"--gpus: expected a share of the 0 GPUs that Ray finds, got 0\.5"):
            room_for_workers(1, 0.5)
        results = []
        for result in WorkerPool(partial(Scripted, tmp_path), workers=2).run(items):
            results.append(result)
            if len(results) == 3:
                assert {found.worker for found in results} == {1, 2}
                cluster.remove_node(second, allow_graceful=False)
    assert Counter(result.item["name"] for result in results) == {item["name"]: 1 for item in items}
    assert {result.answer.kind for result in results} == {"done"}


def test_an_address_without_a_cluster_is_refused() -> None:
    pytest.importorskip("ray", reason=REASON)
    with (
        pytest.raises(ConnectionError, match=r"^--address 127\.0\.0\.1:9: expected a Ray cluster there"),
        ray_session("127.0.0.1:9"),
    ):
        pass


def test_another_server_at_the_address_is_refused() -> None:
    pytest.importorskip("ray", reason=REASON)
    with socket.create_server(("127.0.0.1", 0)) as server:  # takes connections and says nothing
        address = f"127.0.0.1:{server.getsockname()[1]}"
        with (
            pytest.raises(ConnectionError, match=rf"^--address {address}: .*does not answer as Ray"),
            ray_session(address),
        ):
            pass


BACKWARDS = """
#define _GNU_SOURCE
#include <dlfcn.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>
static long offset(void) { return access(getenv("SET_BACK"), F_OK) == 0 ? 86400 : 0; }
int clock_gettime(clockid_t clock, struct timespec *now) {
    static int (*real)(clockid_t, struct timespec *);
    if (!real) real = dlsym(RTLD_NEXT, "clock_gettime");
    int result = real(clock, now);
    if (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE) now->tv_sec -= offset();
    return result;
}
int gettimeofday(struct timeval *now, void *zone) {
    struct timespec precise;
    clock_gettime(CLOCK_REALTIME, &precise);
    now->tv_sec = precise.tv_sec; now->tv_usec = precise.tv_nsec / 1000;
    return 0;
}
time_t time(time_t *where) {
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    if (where) *where = now.tv_sec;
    return now.tv_sec;
}
"""
RUN = """
import sys, time
from functools import partial
from pathlib import Path
from bundle.cohort import WorkerPool
from bundle.cohort.progress import Progress
from bundle.cohort.session import ray_session
from tests.cohort.stubs import Scripted

folder, flag = Path(sys.argv[1]), Path(sys.argv[2])
items = [{"name": str(number), "do": "sleep", "seconds": 0.5} for number in range(6)]
before, began = time.time(), time.monotonic()
with ray_session(None, processors=1), Progress(len(items)) as progress:
    for result in WorkerPool(partial(Scripted, folder), workers=1, timeout_s=60.0).run(items):
        progress.update(failed=result.answer.kind != "done")
        assert result.answer.kind == "done", result
        assert 0.5 <= result.answer.seconds <= time.monotonic() - began, result
        assert 0.0 <= progress.seconds_left <= 6 * (time.monotonic() - began), progress.text
        if progress.done == 2:
            flag.touch()
            assert time.time() < before - 80_000
print("all done", progress.done)
"""


def test_a_clock_that_is_set_back_changes_no_duration_and_no_estimate(tmp_path: Path) -> None:
    pytest.importorskip("ray", reason=REASON)
    source, library = tmp_path / "back.c", tmp_path / "back.so"
    source.write_text("#include <stdlib.h>" + BACKWARDS)
    try:
        subprocess.run(["cc", "-shared", "-fPIC", "-o", library, source, "-ldl"], check=True, capture_output=True)
    except FileNotFoundError:
        pytest.skip("no C compiler: a clock that is set back stays unchecked")
    flag = tmp_path / "set_back"
    environment = os.environ | {"LD_PRELOAD": str(library), "SET_BACK": str(flag), "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-c", textwrap.dedent(RUN), str(tmp_path), str(flag)]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr[-3000:]
    assert "all done 6" in done.stdout
