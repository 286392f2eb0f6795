"""A folder of phantom cases with its pairs file, written once and kept."""

from __future__ import annotations

import hashlib
import json
import logging
import os
import tempfile
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import numpy as np
import torch
from tqdm import tqdm

from bundle.data.phantom import VERSION, PhantomCase, make_phantom
from bundle.io import atomic_path, write_displacement, write_image, write_landmarks_csv

log = logging.getLogger(__name__)

NUM_TRAINING, NUM_VALIDATION, NUM_TEST = 24, 2, 3
SPACING_MM = (2.0, 2.0, 2.5)
WORKERS = 2  # threads: numpy and torch release the interpreter for most of the work
RECORD = "phantom.json"  # written last into a case's folder: what it was made from
FILES = {
    "fixed": "fixed.nii.gz",
    "moving": "moving.nii.gz",
    "fixed_mask": "fixed_mask.nii.gz",
    "moving_mask": "moving_mask.nii.gz",
    "fixed_landmarks": "fixed_landmarks.csv",
    "moving_landmarks": "moving_landmarks.csv",
    "displacement": "displacement.nii.gz",
}


def write_phantoms(
    directory: str | Path,
    *,
    num_training: int = NUM_TRAINING,
    num_validation: int = NUM_VALIDATION,
    num_test: int = NUM_TEST,
    seed: int = 0,
    spacing_mm: tuple[float, float, float] = SPACING_MM,
) -> Path:
    """Write phantom cases as NIfTI and their pairs file, which is returned.

    Cases that are there already, made from the same seed and spacing, are kept: an interrupted call goes on where it
    stopped, and a larger number adds cases. A folder per case appears whole or not at all.

    Args:
        directory: made if missing.
        num_training, num_validation, num_test: cases in each list of `pairs.json`.
        seed: every case of every list gets its own from it.
        spacing_mm: voxel size of the fixed scans.
    """
    directory = Path(directory)
    directory.mkdir(parents=True, exist_ok=True)
    counts = {"training": num_training, "validation": num_validation, "test": num_test}
    records = {
        f"{section}_{number:02d}": {
            "version": VERSION,
            "seed": int(np.random.SeedSequence([seed, place, number]).generate_state(1)[0]),
            "spacing_mm": list(spacing_mm),
        }
        for place, (section, count) in enumerate(counts.items())
        for number in range(count)
    }
    missing = {name: record for name, record in records.items() if not _is_complete(directory / name, record)}
    if missing:
        log.info("%s: making %d of %d phantom cases", directory, len(missing), len(records))
        write = partial(_write_case, directory, spacing_mm=spacing_mm)
        with ThreadPoolExecutor(WORKERS) as pool:
            done = pool.map(write, missing, missing.values())
            for _ in tqdm(done, total=len(missing), desc="phantom cases", unit="case"):
                pass
    pairs = {section: [_pair_item(name) for name in records if name.startswith(section)] for section in counts}
    with atomic_path(directory / "pairs.json") as temporary:
        temporary.write_text(json.dumps(pairs, indent=2) + "\n")
    return directory / "pairs.json"


def phantom_dir(
    *,
    num_training: int = NUM_TRAINING,
    num_validation: int = NUM_VALIDATION,
    num_test: int = NUM_TEST,
    seed: int = 0,
    spacing_mm: tuple[float, float, float] = SPACING_MM,
) -> str:
    """Folder of a phantom data set in the user's cache, made on first use; arguments as in `write_phantoms`.

    The cache is $LUNG_REGISTRATION_CACHE, else lung_registration in $XDG_CACHE_HOME, else in ~/.cache.
    """
    spacing_mm = (float(spacing_mm[0]), float(spacing_mm[1]), float(spacing_mm[2]))
    options = (VERSION, num_training, num_validation, num_test, seed, spacing_mm)
    digest = hashlib.sha256(repr(options).encode()).hexdigest()[:12]
    directory = cache_dir() / f"phantoms-{digest}"
    write_phantoms(
        directory,
        num_training=num_training,
        num_validation=num_validation,
        num_test=num_test,
        seed=seed,
        spacing_mm=spacing_mm,
    )
    return str(directory)


def cache_dir() -> Path:
    """Where generated data are kept between runs."""
    own = os.environ.get("LUNG_REGISTRATION_CACHE")
    if own:
        return Path(own).expanduser()
    base = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return Path(base).expanduser() / "lung_registration"


def write_phantom(case: PhantomCase, folder: Path) -> None:
    """Write the files of one case into an existing folder: NIfTI scans, masks and exact field, landmarks as csv."""
    fixed_affine, moving_affine = torch.from_numpy(case.fixed_affine), torch.from_numpy(case.moving_affine)
    write_image(folder / FILES["fixed"], case.fixed, fixed_affine, dtype=np.int16)
    write_image(folder / FILES["moving"], case.moving, moving_affine, dtype=np.int16)
    write_image(folder / FILES["fixed_mask"], case.fixed_mask, fixed_affine, dtype=np.uint8)
    write_image(folder / FILES["moving_mask"], case.moving_mask, moving_affine, dtype=np.uint8)
    write_landmarks_csv(folder / FILES["fixed_landmarks"], torch.from_numpy(case.fixed_landmarks_mm))
    write_landmarks_csv(folder / FILES["moving_landmarks"], torch.from_numpy(case.moving_landmarks_mm))
    write_displacement(folder / FILES["displacement"], torch.from_numpy(case.displacement_mm), fixed_affine)


def _pair_item(name: str) -> dict[str, str]:
    return {"name": name, **{key: f"{name}/{file}" for key, file in FILES.items()}}


def _is_complete(folder: Path, record: Mapping[str, object]) -> bool:
    try:
        return bool(json.loads((folder / RECORD).read_text()) == record)
    except (FileNotFoundError, json.JSONDecodeError):
        return False


def _write_case(directory: Path, name: str, record: dict[str, int], *, spacing_mm: tuple[float, float, float]) -> None:
    case = make_phantom(record["seed"], spacing_mm=spacing_mm)
    with tempfile.TemporaryDirectory(prefix=f".{name}.", dir=directory) as temporary:
        folder = Path(temporary) / name
        folder.mkdir()
        write_phantom(case, folder)
        (folder / RECORD).write_text(json.dumps(record))
        try:
            if (directory / name).exists() and not _is_complete(directory / name, record):
                os.replace(directory / name, Path(temporary) / "old")  # made from other arguments
            os.replace(folder, directory / name)
        except OSError:
            if not _is_complete(directory / name, record):  # else another process was faster
                raise
