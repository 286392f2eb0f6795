"""Run a command in a process of its own and tell what it took.

The command is started by this file, run as a script with the standard library alone: Linux counts the memory of whoever
starts a process into its peak, and a parent that has loaded torch would hide a small child.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import NamedTuple


class Cost(NamedTuple):
    """Wall time from start to end, and the resident memory at the peak of the largest process of the command."""

    time_s: float
    peak_memory_mib: float


def run_measured(command: list[str], *, folder: Path, cwd: Path, environment: dict[str, str]) -> Cost:
    """Run a command; what it says goes to FOLDER/log.txt, what it took to FOLDER/cost.json.

    Args:
        command: program and arguments.
        folder: existing folder.
        cwd: where the command runs.
        environment: variables that it gets in addition to ours.
    Raises: RuntimeError with the last lines of its log if it fails.
    """
    record, log = folder / "cost.json", folder / "log.txt"
    record.unlink(missing_ok=True)
    with log.open("w") as file:
        subprocess.run(
            [sys.executable, __file__, str(record), *command],
            cwd=cwd,
            env=os.environ | environment,
            stdout=file,
            stderr=subprocess.STDOUT,
            check=True,
        )
    cost = json.loads(record.read_text())
    if cost.pop("exit_code") != 0:
        tail = "\n".join(log.read_text(errors="replace").splitlines()[-5:])
        raise RuntimeError(f"{log}: {' '.join(command[:4])} ... failed:\n{tail}")
    return Cost(**cost)


def _main(record: str, *command: str) -> None:
    start = time.perf_counter()
    process = subprocess.Popen(command)
    _, status, usage = os.wait4(process.pid, 0)
    cost = {
        "exit_code": os.waitstatus_to_exitcode(status),
        "time_s": round(time.perf_counter() - start, 3),
        "peak_memory_mib": round(usage.ru_maxrss / 1024, 1),  # Linux counts in KiB
    }
    Path(record).write_text(json.dumps(cost) + "\n")


if __name__ == "__main__":
    _main(*sys.argv[1:])
