"""What workers of a pool do in tests instead of registering, in processes of their own, and how to find these."""

from __future__ import annotations

import os
import resource
import signal
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

WORKING = "ray::Worker.work"  # the name of a Ray process while it works on an item


def trivial() -> TrivialHandle:
    return TrivialHandle()


class TrivialHandle:
    """Answers at once, as if a registration had gone well."""

    def __call__(self, item: Mapping[str, Any], following: Mapping[str, Any] | None) -> dict[str, Any]:
        return {"name": item["name"], "verdict": "ok", "tre_mm": None, "lncc": 0.7, "folding_percent": 0.0}


@dataclass
class Scripted:
    """Does what an item says; leaves a line in a file of its own for each item it begins, with what is read ahead.

    Args:
        folder: of these files.
    """

    folder: Path

    def __call__(self, item: Mapping[str, Any], following: Mapping[str, Any] | None) -> dict[str, Any]:
        ahead = "" if following is None else following["name"]
        with (self.folder / f"{item['name']}.txt").open("a") as file:
            file.write(f"{os.getpid()} {ahead}\n")
        what = item.get("do", "")
        if what == "die" or (what == "die once" and self.count(item["name"]) == 1):
            os.kill(os.getpid(), signal.SIGKILL)
        if what == "hang":
            time.sleep(600)
        if what == "sleep":
            time.sleep(item["seconds"])
        if what == "allocate":
            return {"name": item["name"], "bytes": len(bytearray(item["bytes"]))}
        if what == "refuse":
            raise FileNotFoundError(f"{item['name']}: no such file or folder")
        if what == "err":
            raise KeyError("of the program")
        return {"name": item["name"], "verdict": "ok"}

    def count(self, name: str) -> int:
        """How often an item was begun."""
        return len(self.lines(name))

    def lines(self, name: str) -> list[str]:
        file = self.folder / f"{name}.txt"
        return file.read_text().splitlines() if file.exists() else []


def working_processes(root: int) -> list[int]:
    """Processes of Ray below `root` that work on an item now."""
    return [pid for pid, name in processes_below(root).items() if name.startswith(WORKING)]


def memory_bytes(root: int) -> int:
    """Resident memory of a process and all below it: driver, workers and Ray's own."""
    total = 0
    for pid in processes_below(root):
        with suppress(OSError):  # ended meanwhile
            total += int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * resource.getpagesize()
    return total


def processes_below(root: int) -> dict[int, str]:
    """Names of a process and all below it, by their numbers."""
    parents, names = {}, {}
    for place in Path("/proc").iterdir():
        if not place.name.isdigit():
            continue
        try:
            stat, command = (place / "stat").read_text(), (place / "cmdline").read_bytes()
        except OSError:  # ended meanwhile
            continue
        parents[int(place.name)] = int(stat.rpartition(")")[2].split()[1])
        names[int(place.name)] = command.split(b"\0")[0].decode(errors="replace")
    return {pid: name for pid, name in names.items() if _is_below(pid, root, parents)}


def _is_below(pid: int, root: int, parents: Mapping[int, int]) -> bool:
    while pid in parents and pid != root:
        pid = parents[pid]
    return pid == root
