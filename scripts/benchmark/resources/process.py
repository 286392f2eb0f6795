"""Run a command in its own process and measure its time and memory.

This file, run as a script that imports only the standard library, starts the command: on Linux a child's peak memory
includes the memory of the parent at the fork, so a parent that imported torch would mask a small child.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple


class Cost(NamedTuple):
    """Wall time from start to end, peak resident memory of the command's largest process, CPU seconds of them all."""

    time_s: float
    peak_memory_mib: float
    cpu_s: float


def run_measured(command: list[str], *, folder: Path, cwd: Path, environment: Mapping[str, str | None]) -> Cost:
    """Run a command; write its output to FOLDER/log.txt and its cost to FOLDER/cost.json.

    Args:
        command: program and arguments.
        folder: existing folder.
        cwd: working folder of the command.
        environment: variables added to those of this process, or removed if None.
    Raises: RuntimeError with the last lines of the log if the command fails. A result whose verdict is "failed" is a
        result: to leave it out would flatter the method.
    """
    from bundle.refusals import FAILED  # not at the top: this file also runs alone

    record, log = folder / "cost.json", folder / "log.txt"
    record.unlink(missing_ok=True)
    with log.open("w") as file:
        subprocess.run(
            [sys.executable, __file__, str(record), *command],
            cwd=cwd,
            env={name: value for name, value in (os.environ | environment).items() if value is not None},
            stdout=file,
            stderr=subprocess.STDOUT,
            check=True,
        )
    cost = json.loads(record.read_text())
    if cost.pop("exit_code") not in (0, FAILED):
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
        "peak_memory_mib": round(usage.ru_maxrss / 1024, 1),  # KiB on Linux
        "cpu_s": round(usage.ru_utime + usage.ru_stime, 3),
    }
    Path(record).write_text(json.dumps(cost) + "\n")


if __name__ == "__main__":
    _main(*sys.argv[1:])
