"""What a cohort will take: a look at every header, then hours and disk."""

from __future__ import annotations

import math
import shutil
import statistics
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from tqdm import tqdm

from bundle.data import check_pairs
from bundle.io import check_header
from bundle.refusals import reason_of

READERS = 8  # headers wait for the disk
# Lines through docs/benchmarks/scale.csv: processor seconds and bytes of a pair by the voxels of both scans
SECONDS, SECONDS_PER_MILLION_VOXELS = 14.6, 0.096
BYTES, BYTES_PER_MILLION_VOXELS = 48e6, 0.83e6

Pair = Mapping[str, str]


@dataclass(frozen=True)
class Look:
    """What the headers of a pair say.

    Args:
        voxels: of both scans; 0 if they cannot be used.
        problem: why they cannot be used; empty if they can.
    """

    name: str
    voxels: int
    problem: str = ""


@dataclass(frozen=True)
class Estimate:
    """Of some pairs.

    Args:
        processor_hours: of all.
        hours: of wall time.
        terabytes: of results, without what `--write` and `--maps` add.
    """

    pairs: int
    processor_hours: float
    hours: float
    terabytes: float

    def __str__(self) -> str:
        size = f"{self.terabytes:.2f} TB" if self.terabytes >= 0.1 else f"{1000 * self.terabytes:.1f} GB"
        return (
            f"{self.pairs} pairs: about {self.processor_hours:.1f} processor hours, {self.hours:.1f} hours of wall "
            f"time, {size} of results"
        )


def look_at(pairs: Sequence[Pair]) -> list[Look]:
    """Check the headers, masks and landmarks of all pairs."""
    with ThreadPoolExecutor(READERS) as pool:
        return list(tqdm(pool.map(_look, pairs), desc="headers", total=len(pairs), unit="pair"))


def estimate(looks: Sequence[Look], *, workers: int, threads: int, seconds: Sequence[float] = ()) -> Estimate:
    """What the pairs that can be used will take.

    Args:
        workers, threads: how many, and the processors of each.
        seconds: of pairs of this cohort that are done; the measured figures if there are none.
    """
    usable = [look for look in looks if not look.problem]
    million = sum(look.voxels for look in usable) / 1e6
    pair_s = statistics.mean(seconds) * threads if seconds else 0.0
    processor_s = len(usable) * (pair_s or SECONDS) + (0.0 if seconds else million * SECONDS_PER_MILLION_VOXELS)
    size = len(usable) * BYTES + million * BYTES_PER_MILLION_VOXELS
    return Estimate(len(usable), processor_s / 3600, processor_s / (workers * threads) / 3600, size / 1e12)


def free_bytes(folder: Path) -> int:
    """On the disk of a folder that may not exist yet."""
    there = next(place for place in (folder.absolute(), *folder.absolute().parents) if place.exists())
    return shutil.disk_usage(there).free


def _look(pair: Pair) -> Look:
    try:
        check_pairs([dict(pair)])
        shapes = [check_header(pair[key], pair.get(f"{key}_series")).shape for key in ("fixed", "moving")]
    except Exception as error:
        reason = reason_of(error)
        if reason is None:
            raise
        return Look(pair["name"], 0, reason)
    return Look(pair["name"], sum(map(math.prod, shapes)))
