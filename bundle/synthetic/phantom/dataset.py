"""Data sets of phantoms, and the cache of the embedded one."""

from __future__ import annotations

import hashlib
import logging
import os
import tempfile
from pathlib import Path
from typing import Any

import torch
from monai.data import MetaTensor

from bundle.synthetic.dataset import Record, records_of, write_pairs
from bundle.synthetic.phantom.case import VERSION, PhantomCase, make_phantom

log = logging.getLogger(__name__)

NUM_TRAINING, NUM_VALIDATION, NUM_TEST = 24, 2, 3
SPACING_MM = (2.0, 2.0, 2.5)
WORKERS = 2  # threads: numpy and torch release the GIL for most of the work


def write_phantoms(
    directory: str | Path,
    *,
    num_training: int = NUM_TRAINING,
    num_validation: int = NUM_VALIDATION,
    num_test: int = NUM_TEST,
    seed: int = 0,
    spacing_mm: tuple[float, float, float] = SPACING_MM,
) -> Path:
    """Write phantom pairs as NIfTI and csv with their pairs file; return the pairs file. See `synthetic.dataset`.

    Args:
        directory: created if missing.
        num_training, num_validation, num_test: pairs per section of `pairs.json`.
        seed: seed of the data set.
        spacing_mm: voxel size of the fixed scans.
    """
    counts = {"training": num_training, "validation": num_validation, "test": num_test}
    records = records_of(counts, seed, lambda _: {"version": VERSION, "spacing_mm": list(spacing_mm)})
    return write_pairs(directory, records, _make_pair, workers=WORKERS, description="phantoms")


def phantom_dir(
    *,
    num_training: int = NUM_TRAINING,
    num_validation: int = NUM_VALIDATION,
    num_test: int = NUM_TEST,
    seed: int = 0,
    spacing_mm: tuple[float, float, float] = SPACING_MM,
) -> str:
    """Folder of a phantom data set in the user's cache, generated on first use; arguments as in `write_phantoms`.

    The cache is $LUNG_REGISTRATION_CACHE, else lung_registration in $XDG_CACHE_HOME, else in ~/.cache, or in the folder
    of temporary files if that is not writable.
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
    """Cache folder of generated data."""
    own = os.environ.get("LUNG_REGISTRATION_CACHE")
    if own:
        return Path(own).expanduser()
    base = Path(os.path.expanduser(os.environ.get("XDG_CACHE_HOME") or "~/.cache")) / "lung_registration"
    existing = next(folder for folder in (base, *base.absolute().parents) if folder.exists())
    has_home = base.parts[0] != "~"  # it stays where the user has no home
    if has_home and existing.is_dir() and os.access(existing, os.W_OK | os.X_OK):
        return base
    other = Path(tempfile.gettempdir()) / f"lung_registration-{os.getuid() if hasattr(os, 'getuid') else 'user'}"
    log.warning("%s: the cache cannot be written; using %s", base, other)
    return other


def phantom_pair(case: PhantomCase) -> dict[str, Any]:
    """Convert a phantom to the input of `synthetic.dataset.write_pair`."""
    affines = {"fixed": torch.from_numpy(case.fixed_affine), "moving": torch.from_numpy(case.moving_affine)}
    volumes = {
        "fixed": (case.fixed[None], "fixed"),
        "moving": (case.moving[None], "moving"),
        "fixed_mask": (case.fixed_mask[None], "fixed"),
        "moving_mask": (case.moving_mask[None], "moving"),
        "displacement": (case.displacement_mm, "fixed"),
    }
    return {
        **{key: MetaTensor(torch.from_numpy(array), affine=affines[grid]) for key, (array, grid) in volumes.items()},
        "fixed_landmarks": torch.from_numpy(case.fixed_landmarks_mm),
        "moving_landmarks": torch.from_numpy(case.moving_landmarks_mm),
    }


def _make_pair(record: Record) -> dict[str, Any]:
    x, y, z = record["spacing_mm"]
    return phantom_pair(make_phantom(record["seed"], spacing_mm=(x, y, z)))
