"""Write a folder of synthetic pairs with its pairs file, for phantoms and simulated breaths."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from tqdm import tqdm

from bundle.data.pairs import PAIRS_FILE
from bundle.io import atomic_path, write_displacement, write_image, write_landmarks_csv

RECORD = "made_from.json"  # written last into a pair's folder
SCANS: dict[str, type[np.generic]] = {
    "fixed": np.int16,
    "moving": np.int16,
    "fixed_mask": np.uint8,
    "moving_mask": np.uint8,
}
FILES = {key: f"{key}.nii.gz" for key in SCANS} | {
    "fixed_landmarks": "fixed_landmarks.csv",
    "moving_landmarks": "moving_landmarks.csv",
    "displacement": "displacement.nii.gz",
}
Record = Mapping[str, Any]  # input of a pair's generation; equal records give equal pairs
MakePair = Callable[[Record], Mapping[str, Any]]


def records_of(counts: Mapping[str, int], seed: int, settings: Callable[[int], Record]) -> dict[str, Record]:
    """Records of all pairs by name, each with its own seed.

    Args:
        counts: number of pairs by section of the pairs file; adding pairs does not change existing ones.
        seed: seed of the data set.
        settings: other entries of a record, from the number of the pair within its section.
    """
    return {
        f"{section}_{number:02d}": {
            **settings(number),
            "seed": int(np.random.SeedSequence([seed, place, number]).generate_state(1)[0]),
        }
        for place, (section, count) in enumerate(counts.items())
        for number in range(count)
    }


def write_pairs(
    directory: str | Path, records: Mapping[str, Record], make_pair: MakePair, *, workers: int, description: str
) -> Path:
    """Write the pairs of a data set and its pairs file; return the pairs file.

    Existing pairs with the same record are kept, so interrupted runs resume. The folder of a pair is written
    atomically.

    Args:
        directory: created if missing.
        records: by name, SECTION_NUMBER.
        make_pair: returns the input of `write_pair`; other keys are stored in the record file.
        workers: number of threads; each generates one pair at a time.
        description: label of the progress bar.
    """
    folder = Path(directory)
    folder.mkdir(parents=True, exist_ok=True)
    missing = {name: record for name, record in records.items() if not _is_complete(folder / name, record)}
    if missing:
        with ThreadPoolExecutor(workers) as pool:
            done = pool.map(partial(_write_folder, folder, make_pair), missing, missing.values())
            for _ in tqdm(done, total=len(missing), desc=description, unit="pair"):
                pass
    pairs: dict[str, list[dict[str, str]]] = {"training": [], "validation": [], "test": []}
    for name in records:
        files = {key: f"{name}/{file}" for key, file in FILES.items()}
        pairs[name.rpartition("_")[0]].append({"name": name, **files, "landmark_system": "lps"})
    file, content = folder / PAIRS_FILE, json.dumps(pairs, indent=2) + "\n"
    if not file.is_file() or file.read_text() != content:  # a complete data set may be read-only
        with atomic_path(file) as temporary:
            temporary.write_text(content)
    return file


def write_pair(folder: Path, pair: Mapping[str, Any]) -> None:
    """Write `FILES` of one pair to an existing folder.

    Args:
        pair: the scans and masks (1, H, W, D) and the ground-truth `displacement` (3, H, W, D), RAS mm, on the fixed
            grid, all with their affine; both landmark sets (N, 3), RAS mm.
    """
    for key, dtype in SCANS.items():
        write_image(folder / FILES[key], torch.as_tensor(pair[key][0]), pair[key].affine, dtype=dtype)
    for key in ("fixed_landmarks", "moving_landmarks"):
        write_landmarks_csv(folder / FILES[key], pair[key])
    write_displacement(folder / FILES["displacement"], torch.as_tensor(pair["displacement"]), pair["fixed"].affine)


def _is_complete(folder: Path, record: Record) -> bool:
    """Whether a pair exists and was generated from this record."""
    try:
        return bool(json.loads((folder / RECORD).read_text())["made_from"] == record)
    except (FileNotFoundError, json.JSONDecodeError):
        return False


def _write_folder(directory: Path, make_pair: MakePair, name: str, record: Record) -> None:
    pair = make_pair(record)
    with tempfile.TemporaryDirectory(prefix=f".{name}.", dir=directory) as temporary:
        folder = Path(temporary) / name
        folder.mkdir()
        write_pair(folder, pair)
        rest = {key: value for key, value in pair.items() if key not in FILES}
        (folder / RECORD).write_text(json.dumps({"made_from": record, **rest}))
        try:
            if (directory / name).exists() and not _is_complete(directory / name, record):
                os.replace(directory / name, Path(temporary) / "old")  # generated from another record
            os.replace(folder, directory / name)
        except OSError:
            if not _is_complete(directory / name, record):  # otherwise another process wrote the pair first
                raise
