"""Turn DIR-Lab downloads into NIfTI, landmarks and a pairs file."""

from __future__ import annotations

import json
import logging
from collections.abc import Sequence
from pathlib import Path

import fire
import numpy as np
from tqdm import tqdm

from bundle.data import check_pairs
from bundle.data.pairs import PAIRS_FILE
from bundle.io import atomic_path, check_landmark_pair, read_landmarks_mm, write_image, write_landmarks_csv
from bundle.io.dirlab import GRIDS, PREFIXES, DirlabCase, find_cases

log = logging.getLogger(__name__)

CASE_NAMES = [f"{PREFIXES[collection]}{number}" for collection, grids in GRIDS.items() for number in grids]
OUTPUTS = {
    "fixed": "fixed.nii.gz",
    "moving": "moving.nii.gz",
    "fixed_landmarks": "fixed_landmarks.csv",
    "moving_landmarks": "moving_landmarks.csv",
}


def prepare_dirlab(
    source: str, out: str, *, training: str | Sequence[str] = (), validation: str | Sequence[str] = ()
) -> None:
    """Convert the DIR-Lab COPDgene and 4DCT cases found below SOURCE to OUT/CASE/ and list them in OUT/pairs.json.

    Scans become NIfTI (int16, HU, native grid; inhale is fixed, exhale moving), landmarks .csv (LPS mm). Cases already
    converted are kept, so it can be stopped and run again, and the two collections may be added one after the other.

    Args:
        source: folder with the unpacked downloads, any subset of cases at any depth.
        out: folder to write, made if missing.
        training: cases for the section `training`, such as copd1,copd2; all others go to `test`.
        validation: cases for the section `validation`.
    """
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    sections = {"training": _names(training), "validation": _names(validation)}
    folder = Path(out)
    cases = find_cases(source)
    folder.mkdir(parents=True, exist_ok=True)
    problems = {}
    for case in tqdm(cases, desc="DIR-Lab cases", unit="case"):
        try:
            convert_case(case, folder / case.name)
        except (FileNotFoundError, ValueError) as error:
            problems[case.name] = "missing" if not case.files else f"broken: {error}"
    usable = write_pairs(folder, **sections)
    for case in cases:
        log.info("%-7s %s", case.name, problems.get(case.name, "ok") if case.name not in usable else "ok")
    if not usable:
        raise SystemExit(f"{source}: none of its DIR-Lab cases can be used")
    log.info("%d cases in %s", len(usable), folder / PAIRS_FILE)


def convert_case(case: DirlabCase, folder: Path) -> None:
    """Write one case; one that is complete is left alone. Raises: as the readers do, before anything is written."""
    if _is_complete(case.name, folder):
        return
    fixed = read_landmarks_mm(case.file("fixed_landmarks"), case.header("fixed"))
    moving = read_landmarks_mm(case.file("moving_landmarks"), case.header("moving"))
    check_landmark_pair(case.file("fixed_landmarks"), fixed, case.file("moving_landmarks"), moving)
    volumes = {"fixed": case.read_volume_hu("fixed"), "moving": case.read_volume_hu("moving")}
    folder.mkdir(exist_ok=True)
    for role, volume_hu in volumes.items():
        write_image(folder / OUTPUTS[role], volume_hu, case.affine, dtype=np.int16)
    write_landmarks_csv(folder / OUTPUTS["fixed_landmarks"], fixed)
    write_landmarks_csv(folder / OUTPUTS["moving_landmarks"], moving)


def write_pairs(folder: Path, *, training: Sequence[str], validation: Sequence[str]) -> list[str]:
    """List the complete cases of `folder` in its pairs file; returns their names.

    Raises: ValueError if `training` or `validation` names a case that is missing or broken.
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
        sections[section].append({"name": name} | {role: f"{name}/{file}" for role, file in OUTPUTS.items()})
    if usable:
        with atomic_path(folder / PAIRS_FILE) as temporary:
            temporary.write_text(json.dumps(sections, indent=2) + "\n")
    return usable


def _is_complete(name: str, folder: Path) -> bool:
    pair = {role: str(folder / file) for role, file in OUTPUTS.items()}
    try:
        check_pairs([{"name": name} | pair])
    except (FileNotFoundError, ValueError):
        return False
    return True


def _names(value: str | Sequence[str]) -> list[str]:
    names = [name.strip() for name in (value.split(",") if isinstance(value, str) else value) if name.strip()]
    unknown = set(names) - set(CASE_NAMES)
    if unknown:
        raise ValueError(f"no DIR-Lab case: {', '.join(sorted(unknown))}; expected names such as copd1 or 4dct10")
    return names


if __name__ == "__main__":
    fire.Fire(prepare_dirlab)
