"""The pairs of a BIDS folder (https://bids.neuroimaging.io): scans whose names say exhale and inhale."""

from __future__ import annotations

import logging
import re
from pathlib import Path

from bundle.cohort.sources.studies import Study

log = logging.getLogger(__name__)

DESCRIPTION = "dataset_description.json"
NAME = re.compile(r"(?P<entities>sub-[^_]+(?:_[A-Za-z]+-[^_]+)*)_(?P<suffix>[A-Za-z0-9]+)\.nii(\.gz)?", re.IGNORECASE)
SUFFIX = "ct"
WORDS = {  # of the value of an entity, such as acq-inspiration
    "fixed": re.compile(r"(end|full|max|deep)?(insp\w*|inhal\w*|in|tlc)", re.IGNORECASE),
    "moving": re.compile(r"(end|full|max|deep)?(exp\w*|exhal\w*|ex|frc|rv)", re.IGNORECASE),
}
SUBJECT, SESSION = "sub", "ses"


def is_bids(folder: Path) -> bool:
    """Whether a folder has BIDS' description, or subjects with NIfTI files."""
    if (folder / DESCRIPTION).is_file():
        return True
    return any(next(place.rglob("sub-*.nii*"), None) for place in sorted(folder.glob("sub-*")) if place.is_dir())


def bids_pairs(folder: Path) -> tuple[list[dict[str, str]], list[Study]]:
    """The pairs of a folder, one for each subject, session and further entities of the names.

    A pair is two `*_ct.nii.gz` that differ in one entity, whose values say inhale and exhale (`acq-insp`,
    `desc-exhale`, `acq-TLC`). Where no name says it, the scans of a session are a study, whose lung volumes tell.

    Raises: ValueError if there is no scan, or two of one breath.
    """
    groups: dict[str, dict[str, str]] = {}
    silent: dict[str, list[str]] = {}
    for file in sorted(folder.glob("sub-*/**/*.nii*")):
        found = NAME.fullmatch(file.name)
        if found is None or found["suffix"].lower() != SUFFIX:
            continue
        entities = [part.partition("-")[::2] for part in found["entities"].split("_")]
        breath = _breath(entities)
        if breath is None:
            rest = [entity for entity in entities if entity[0] in (SUBJECT, SESSION)]
            silent.setdefault(_name(rest), []).append(str(file))
            continue
        key, entity = breath
        group = groups.setdefault(_name([other for other in entities if other != entity]), {})
        if key in group:
            raise ValueError(
                f"{file}: expected one {_word(key)} scan, found {group[key]} as well; use a table of pairs"
            )
        group[key] = str(file)
    pairs = [{"name": name, **group} for name, group in groups.items() if len(group) == len(WORDS)]
    named = {pair["name"] for pair in pairs}
    studies = [Study(name, tuple(files)) for name, files in silent.items() if len(files) > 1 and name not in named]
    used = named | {study.name for study in studies}
    for name in sorted({*groups, *silent} - used):
        files = [*groups.get(name, {}).values(), *silent.get(name, [])]
        log.warning("%s: left out: no second scan to pair it with", ", ".join(files))
    if not pairs and not studies:
        raise ValueError(f"{folder}: expected BIDS names such as sub-01/ct/sub-01_acq-insp_ct.nii.gz, found no pair")
    return pairs, studies


def _breath(entities: list[tuple[str, str]]) -> tuple[str, tuple[str, str]] | None:
    """Which scan of a pair the entities say it is, and the entity that says so."""
    for entity in entities:
        if entity[0] in (SUBJECT, SESSION):
            continue
        for key, words in WORDS.items():
            if words.fullmatch(entity[1]):
                return key, entity
    return None


def _name(entities: list[tuple[str, str]]) -> str:
    return "_".join(f"{key}-{value}" for key, value in entities)


def _word(key: str) -> str:
    return {"fixed": "inhale", "moving": "exhale"}[key]
