"""DIR-Lab cases converted to NIfTI scans, landmark files and a pairs file."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from bundle.data.pairs import PAIRS_FILE, check_pairs
from bundle.io import atomic_path, check_landmark_pair, read_landmarks_mm, write_image, write_landmarks_csv
from bundle.io.dirlab import GRIDS, PREFIXES, DirlabCase

CASE_NAMES = [f"{PREFIXES[collection]}{number}" for collection, grids in GRIDS.items() for number in grids]
OUTPUTS = {
    "fixed": "fixed.nii.gz",
    "moving": "moving.nii.gz",
    "fixed_landmarks": "fixed_landmarks.csv",
    "moving_landmarks": "moving_landmarks.csv",
}


def convert_case(case: DirlabCase, folder: Path) -> None:
    """Write one case to `folder`, unless it is complete there. Raises: errors of the readers, before any writing."""
    if _is_complete(case.name, folder):
        return
    fixed = read_landmarks_mm(case.file("fixed_landmarks"), case.header("fixed"), system="dirlab")
    moving = read_landmarks_mm(case.file("moving_landmarks"), case.header("moving"), system="dirlab")
    check_landmark_pair(case.file("fixed_landmarks"), fixed, case.file("moving_landmarks"), moving)
    volumes = {"fixed": case.read_volume_hu("fixed"), "moving": case.read_volume_hu("moving")}
    folder.mkdir(exist_ok=True)
    for role, volume_hu in volumes.items():
        write_image(folder / OUTPUTS[role], volume_hu, case.affine, dtype=np.int16)
    write_landmarks_csv(folder / OUTPUTS["fixed_landmarks"], fixed)
    write_landmarks_csv(folder / OUTPUTS["moving_landmarks"], moving)


def write_pairs(folder: Path, *, training: Sequence[str], validation: Sequence[str]) -> list[str]:
    """List the complete cases of `folder` in its pairs file; return their names.

    Raises: ValueError if `training` or `validation` names a missing or broken case.
    """
    usable = [name for name in CASE_NAMES if _is_complete(name, folder / name)]
    unknown = {*training, *validation} - set(usable)
    if unknown:
        raise ValueError(
            f"{folder}: no usable case: {', '.join(sorted(unknown))}; there are {', '.join(usable) or 'none'}"
        )
    sections: dict[str, list[dict[str, str]]] = {"training": [], "validation": [], "test": []}
    for name in usable:
        section = "training" if name in training else "validation" if name in validation else "test"
        files = {role: f"{name}/{file}" for role, file in OUTPUTS.items()}
        sections[section].append({"name": name, **files, "landmark_system": "lps"})
    if usable:
        with atomic_path(folder / PAIRS_FILE) as temporary:
            temporary.write_text(json.dumps(sections, indent=2) + "\n")
    return usable


def case_names(value: str | Sequence[str]) -> list[str]:
    """Case names, given as one comma-separated string or a sequence. Raises: ValueError for an unknown name."""
    names = [name.strip() for name in (value.split(",") if isinstance(value, str) else value) if name.strip()]
    unknown = set(names) - set(CASE_NAMES)
    if unknown:
        raise ValueError(f"no DIR-Lab case: {', '.join(sorted(unknown))}; expected names such as copd1 or 4dct10")
    return names


def _is_complete(name: str, folder: Path) -> bool:
    pair = {role: str(folder / file) for role, file in OUTPUTS.items()}
    try:
        check_pairs([{"name": name, "landmark_system": "lps"} | pair])
    except (FileNotFoundError, ValueError):
        return False
    return True
