"""Data sets of simulated breaths."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

import torch
from monai.data import MetaTensor

from bundle.io import read_image
from bundle.lung import find_lungs
from bundle.synthetic.breath.motion import HARD_VERSION
from bundle.synthetic.breath.rand_simulate_motion import RandSimulateMotiond
from bundle.synthetic.dataset import FILES, Record, records_of, write_pairs

VERSION = 3  # of the simulation: pairs of other versions are regenerated


def write_breaths(
    directory: str | Path,
    *,
    scans: Sequence[Path],
    num_training: int,
    num_validation: int,
    num_test: int,
    seed: int,
    workers: int,
    clinical: bool = False,
    hard: bool = False,
) -> Path:
    """Write simulated pairs as NIfTI and csv with their pairs file; return the pairs file. See `synthetic.dataset`.

    Args:
        directory: created if missing.
        scans: CTs at inhale with different file names; each section cycles through them from the first.
        num_training, num_validation, num_test: pairs per section of `pairs.json`.
        seed: seed of the data set.
        workers: number of threads, about 3 GB each; pairs do not depend on it.
        clinical: scans of 512 x 512 voxels, see `MotionParameters.clinical`; a thread then needs about 7 GB.
        hard: scans of other scanners and days, see `MotionParameters.hard`; the breaths are those without it.
    Raises: ValueError if two scans have the same file name, or no lung is found in one.
    """
    files = {path.name: path for path in scans}
    if len(files) < len(scans):
        raise ValueError(f"scans: expected files of different names, got {', '.join(map(str, scans))}")
    counts = {"training": num_training, "validation": num_validation, "test": num_test}
    names = list(files)
    # not in the records of other data sets, which exist without them
    kind = ({"clinical": True} if clinical else {}) | ({"hard": HARD_VERSION} if hard else {})
    records = records_of(counts, seed, lambda number: {"version": VERSION, "scan": names[number % len(names)], **kind})
    make_pair = partial(_make_pair, files)
    return write_pairs(directory, records, make_pair, workers=workers, description="simulated pairs")


@lru_cache(maxsize=2)
def read_with_lungs(path: Path) -> tuple[MetaTensor, MetaTensor]:
    """A scan and its lung mask. Raises: ValueError if no lung is found."""
    scan = read_image(path)
    lungs = find_lungs(scan)
    if lungs is None:
        raise ValueError(f"{path}: no lung found")
    return scan, (lungs > 0).to(torch.uint8)


def _make_pair(files: Mapping[str, Path], record: Record) -> dict[str, Any]:
    scan, mask = read_with_lungs(files[record["scan"]])
    simulate = RandSimulateMotiond("scan", clinical=record.get("clinical", False), hard="hard" in record)
    simulate.set_random_state(seed=record["seed"])
    pair = simulate({"scan": scan, "scan_mask": mask})
    return {key: pair[key] for key in (*FILES, "motion_parameters")}
