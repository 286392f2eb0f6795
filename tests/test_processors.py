from __future__ import annotations

import ast
import os
import re
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from bundle.processors import ahead, side_by_side, usable_processors

ROOT = Path(__file__).parents[1]
HERE = len(os.sched_getaffinity(0))
MAX = "max 100000"
needs_two = pytest.mark.skipif(HERE < 2, reason="one processor cannot be restricted")


def write(root: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text + "\n")
    return root


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ({}, HERE),
        ({"proc/self/cgroup": "0::/", "sys/fs/cgroup/cpu.max": MAX}, HERE),
        ({"proc/self/cgroup": "0::/", "sys/fs/cgroup/cpu.max": "100000 100000"}, 1),
        ({"proc/self/cgroup": "0::/", "sys/fs/cgroup/cpu.max": "20000 100000"}, 1),  # a fifth of a processor
        ({"proc/self/cgroup": "0::/", "sys/fs/cgroup/cpu.max": "110000 100000"}, min(2, HERE)),
        ({"proc/self/cgroup": "0::/", "sys/fs/cgroup/cpu.max": "100000000 100000"}, HERE),
        (  # of a group above
            {
                "proc/self/cgroup": "0::/jobs/ours",
                "sys/fs/cgroup/jobs/ours/cpu.max": MAX,
                "sys/fs/cgroup/jobs/cpu.max": "50000 50000",
            },
            1,
        ),
        (  # version 1, in a container that shows its own group as the root
            {
                "proc/self/cgroup": "5:memory:/x\n4:cpu,cpuacct:/docker/1a2b\n0::/",
                "sys/fs/cgroup/cpu/cpu.cfs_quota_us": "100000",
                "sys/fs/cgroup/cpu/cpu.cfs_period_us": "100000",
            },
            1,
        ),
        (
            {
                "proc/self/cgroup": "4:cpu,cpuacct:/",
                "sys/fs/cgroup/cpu/cpu.cfs_quota_us": "-1",
                "sys/fs/cgroup/cpu/cpu.cfs_period_us": "100000",
            },
            HERE,
        ),
        ({"proc/self/cgroup": "4:cpuset:/", "sys/fs/cgroup/cpu.max": "100000 100000"}, HERE),  # not of this process
    ],
)
def test_quotas_of_all_control_groups_count(files: dict[str, str], expected: int, tmp_path: Path) -> None:
    assert usable_processors(write(tmp_path, files)) == expected


THREADS = """
import os
{first}
import itk, torch
print(torch.get_num_threads(), itk.MultiThreaderBase.GetGlobalDefaultNumberOfThreads(), os.environ["OMP_WAIT_POLICY"])
"""


def threads_of(first: str, prefix: tuple[str, ...] = (), **environment: str) -> list[str]:
    """Threads of torch and ITK, and how those of torch wait, in a process of its own."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("OMP_", "ITK_", "MKL_"))}
    command = [*prefix, sys.executable, "-c", THREADS.format(first=first)]
    done = subprocess.run(command, cwd=ROOT, env=kept | environment, capture_output=True, text=True, check=True)
    return done.stdout.split()


@needs_two
@pytest.mark.parametrize(
    "first", ["import scripts.cli", "import torch; import scripts.cli", "import scripts.label_server"]
)
def test_threads_follow_the_affinity(first: str) -> None:
    processor = str(min(os.sched_getaffinity(0)))
    assert threads_of(first, ("taskset", "-c", processor)) == ["1", "1", "PASSIVE"]


@needs_two
def test_the_settings_of_a_user_win() -> None:
    processor = str(min(os.sched_getaffinity(0)))
    given = {"OMP_WAIT_POLICY": "ACTIVE", "OMP_NUM_THREADS": "2", "ITK_GLOBAL_DEFAULT_NUMBER_OF_THREADS": "3"}
    assert threads_of("import scripts.cli", ("taskset", "-c", processor), **given) == ["2", "3", "ACTIVE"]


COMMANDS = sorted(path for path in (ROOT / "scripts").rglob("*.py") if "__main__" in path.read_text())
WITHOUT_TORCH = {"fire", "numpy", "tqdm", "scripts.benchmark.methods"}
OF_OTHERS = {
    "process.py",
    "response.py",
    "tool.py",
}  # they run other programs, in other environments, with the settings of their caller


@pytest.mark.parametrize("path", COMMANDS, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_command_shares_the_processors_before_it_loads_anything_heavy(path: Path) -> None:
    if path.name in OF_OTHERS:
        pytest.skip("inherits the settings of scripts.benchmark")
    modules = []
    for node in ast.parse(path.read_text()).body:
        if isinstance(node, ast.ImportFrom):
            modules.append(str(node.module))
        elif isinstance(node, ast.Import):
            modules += [alias.name for alias in node.names]
    first = min(modules.index(name) for name in ("scripts.cli", "bundle.processors") if name in modules)
    before = [name for name in modules[:first] if name.split(".")[0] not in sys.stdlib_module_names]
    assert set(before) <= WITHOUT_TORCH


@pytest.mark.parametrize("page", ["README.md", "docs/README.md", "docs/benchmarks.md"])
def test_commands_that_load_torch_first_say_how_its_threads_wait(page: str) -> None:
    lines = (ROOT / page).read_text().splitlines()
    commands = [
        line.strip() for line in lines if re.match(r"\s*([A-Z_]+=\w+ )*(python -m monai\.bundle run|torchrun)", line)
    ]
    assert commands
    for command in commands:
        assert command.startswith("OMP_WAIT_POLICY=PASSIVE ")


def test_the_next_item_is_computed_while_the_caller_works() -> None:
    computed: list[int] = []
    second = threading.Event()

    def numbers() -> Iterator[int]:
        for number in range(3):
            computed.append(number)
            if number == 1:
                second.set()
            yield number

    items = ahead(numbers())
    assert next(items) == 0
    assert second.wait(10)
    assert list(items) == [1, 2]
    assert computed == [0, 1, 2]


@pytest.mark.parametrize(("given", "expected"), [("1", 1), ("2", min(2, HERE)), ("64", HERE), ("0", 1), ("2,4", HERE)])
def test_no_more_items_are_computed_side_by_side_than_threads_are_given(
    given: str, expected: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", given)
    here, most, lock = 0, 0, threading.Lock()

    def count(_: int) -> None:
        nonlocal here, most
        with lock:
            here += 1
            most = max(most, here)
        time.sleep(0.05)
        with lock:
            here -= 1

    side_by_side(count, range(4 * HERE))
    assert most == min(expected, usable_processors())


def test_an_error_of_an_item_is_raised_in_its_turn() -> None:
    def numbers() -> Iterator[int]:
        yield 0
        raise ValueError("the second one")

    items = ahead(numbers())
    assert next(items) == 0
    with pytest.raises(ValueError, match="the second one"):
        next(items)
