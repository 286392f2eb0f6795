"""Make pairs with an exact field from single CTs, for training, validation and test, or draw six of them."""

from __future__ import annotations

import json
import logging
import os
import tempfile
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

import fire
import numpy as np
from monai.data import MetaTensor
from tqdm import tqdm

from bundle.data.phantom_dataset import FILES
from bundle.io import atomic_path, read_image, write_displacement, write_image, write_landmarks_csv
from bundle.reports.simulated_motion import draw_simulated_motion
from bundle.transforms import RandSimulateMotiond, find_lungs

log = logging.getLogger(__name__)
SAMPLES = 6  # in the picture
VERSION = 2  # of the simulation: pairs of another version are made again
RECORD = "simulation.json"  # of each pair: what it was made from, and the breath


def write(
    scans: Sequence[str] | str,
    out: str,
    num_training: int = 24,
    num_validation: int = 2,
    num_test: int = 3,
    seed: int = 0,
    workers: int = 1,
) -> None:
    """Write simulated pairs (NIfTI, csv) and OUT/pairs.json; pairs already there from the same arguments are kept.

    Each section takes the scans in turn from the first on: with 3 scans, 24 training pairs are 8 breaths of each, and 2
    validation pairs one breath each of the first two. The sections thus share patients, never breaths: call twice, with
    other scans and folders, for pairs of patients that were not trained on.

    Args:
        scans: CTs at inhale, of different file names: --scans A,B,C.
        out: folder, made if missing.
        num_training: pairs to train on.
        num_validation: pairs to choose a checkpoint by.
        num_test: pairs to report.
        seed: gives the same pairs again, whatever the numbers of pairs are.
        workers: pairs made at a time, by threads of this process; each needs about 3 GB. The pairs do not depend on it.
    Raises: ValueError if two scans have the same file name, or one has no lung.
    """
    paths = [Path(scan) for scan in (scans.split(",") if isinstance(scans, str) else scans)]
    files = {path.name: path for path in paths}
    if len(files) < len(paths):
        raise ValueError(f"scans: expected files of different names, got {', '.join(map(str, paths))}")
    directory = Path(out)
    directory.mkdir(parents=True, exist_ok=True)
    counts = {"training": num_training, "validation": num_validation, "test": num_test}
    records = {
        f"{section}_{number:02d}": {
            "version": VERSION,
            "scan": paths[number % len(paths)].name,
            "seed": int(np.random.SeedSequence([seed, place, number]).generate_state(1)[0]),
        }
        for place, (section, count) in enumerate(counts.items())
        for number in range(count)
    }
    missing = {name: record for name, record in records.items() if not _is_complete(directory / name, record)}
    with ThreadPoolExecutor(workers) as pool:
        done = pool.map(partial(_write_pair, directory, files), missing, missing.values())
        for _ in tqdm(done, total=len(missing), desc="simulated pairs", unit="pair"):
            pass
    pairs = {section: [_item(name) for name in records if name.startswith(section)] for section in counts}
    with atomic_path(directory / "pairs.json") as temporary:
        temporary.write_text(json.dumps(pairs, indent=2) + "\n")
    log.info("%s: %d pairs", directory / "pairs.json", len(records))


def draw(scan: str, out: str = "docs/pictures/simulated_motion.png", seed: int = 0) -> None:
    """Draw six pairs made from the CT SCAN into the picture OUT.

    Args:
        scan: CT at inhale.
        out: a PNG; its folder is made if missing.
        seed: gives the same pairs again.
    Raises: ValueError if the scan has no lung.
    """
    Path(out).parent.mkdir(parents=True, exist_ok=True)
    image, mask = _read(Path(scan))
    simulate = RandSimulateMotiond("scan")
    simulate.set_random_state(seed=seed)
    samples = [simulate({"scan": image, "scan_mask": mask}) for _ in range(SAMPLES)]
    draw_simulated_motion(samples, Path(out))
    log.info("%s: %d pairs from %s", out, SAMPLES, scan)


@lru_cache(maxsize=2)
def _read(path: Path) -> tuple[MetaTensor, MetaTensor]:
    """A scan and its lungs. Raises: ValueError if there are none."""
    scan = read_image(path)
    mask = find_lungs(scan)
    if mask is None:
        raise ValueError(f"{path}: no lung found")
    return scan, mask


def _item(name: str) -> dict[str, str]:
    """Entry of a pair in pairs.json, paths relative to it."""
    return {"name": name, **{key: f"{name}/{file}" for key, file in FILES.items()}}


def _is_complete(folder: Path, record: Mapping[str, object]) -> bool:
    """Whether the pair is there and was made from the same version, scan and seed."""
    try:
        found = json.loads((folder / RECORD).read_text())
    except (FileNotFoundError, json.JSONDecodeError):
        return False
    return bool(found["made_from"] == record)


def _write_pair(directory: Path, files: Mapping[str, Path], name: str, record: Mapping[str, Any]) -> None:
    """Make one pair; its folder appears whole or not at all."""
    scan, mask = _read(files[record["scan"]])
    simulate = RandSimulateMotiond("scan")
    simulate.set_random_state(seed=record["seed"])
    pair = simulate({"scan": scan, "scan_mask": mask})
    with tempfile.TemporaryDirectory(prefix=f".{name}.", dir=directory) as temporary:
        folder = Path(temporary) / name
        folder.mkdir()
        for key, dtype in (
            ("fixed", np.int16),
            ("moving", np.int16),
            ("fixed_mask", np.uint8),
            ("moving_mask", np.uint8),
        ):
            write_image(folder / FILES[key], pair[key][0].as_tensor(), pair[key].affine, dtype=dtype)
        for key in ("fixed_landmarks", "moving_landmarks"):
            write_landmarks_csv(folder / FILES[key], pair[key])
        write_displacement(folder / FILES["displacement"], pair["displacement"].as_tensor(), pair["fixed"].affine)
        content = {"made_from": record, "motion_parameters": pair["motion_parameters"]}
        (folder / RECORD).write_text(json.dumps(content))
        if (directory / name).exists():
            os.replace(directory / name, Path(temporary) / "old")  # made from other arguments
        os.replace(folder, directory / name)


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    fire.Fire({"write": write, "draw": draw})
