"""The pairs of a cohort, from any list or folder of them."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TypeVar

from bundle.cohort.sources.bids import bids_pairs, is_bids
from bundle.cohort.sources.studies import Study, find_studies
from bundle.cohort.sources.table import read_table
from bundle.data import PAIRS_FILE, SECTIONS, read_pairs

TABLES = (".csv", ".tsv")
KINDS = "a CSV or TSV file, a pairs.json or a folder with one, a BIDS folder, or a folder of DICOM studies"
MAX_BYTES = 200  # of a name: files allow 255, and what is in work has a longer name
OWN_FILES = re.compile(
    r"cohort\.json|index\.html|verdicts\.csv|summary\.(json|md|png)|(status|pairs|left_out)[^.]*\.(csv|jsonl)"
)
FAULTS: Mapping[str, Callable[[str], object]] = {  # of the name of a pair
    "begin with a dot": lambda name: name.startswith("."),
    "be a file of the cohort": OWN_FILES.fullmatch,
    "hold control characters": lambda name: any(ord(character) < 32 for character in name),
    "hold half characters": lambda name: any("\ud800" <= character <= "\udfff" for character in name),
    f"have more than {MAX_BYTES} bytes": lambda name: len(os.fsencode(name)) > MAX_BYTES,
}

Item = TypeVar("Item")


def read_cohort(path: str | Path) -> tuple[list[dict[str, str]], list[Study]]:
    """The pairs of a list or a folder, with absolute paths; files need not exist.

    Returns: pairs, and the studies of a folder whose exhale and inhale must be told apart by lung volume.
    Raises: FileNotFoundError, ValueError: what is wrong with the list.
    """
    place = Path(path).absolute()
    if not place.exists():
        raise FileNotFoundError(f"{path}: no such file or folder (--pairs: expected {KINDS})")
    if place.is_file() and place.suffix.lower() in TABLES:
        return _checked(path, read_table(place)), []
    if place.is_file() and place.suffix.lower() != ".json":
        raise ValueError(f"{path}: expected {KINDS}, found another file")
    if place.is_file() or (place / PAIRS_FILE).is_file():
        return _checked(path, read_pairs(place, section=SECTIONS, missing_ok=True)), []
    return bids_pairs(place) if is_bids(place) else ([], find_studies(place))


def _checked(path: str | Path, pairs: list[dict[str, str]]) -> list[dict[str, str]]:
    """The pairs. Raises: ValueError for a name that cannot be a result folder beside the cohort's own files."""
    for name in (pair["name"] for pair in pairs):
        fault = next((fault for fault, is_there in FAULTS.items() if is_there(name)), None)
        if fault is not None:
            raise ValueError(f"{path}: the name {name!r} becomes a folder and cannot {fault}")
    return pairs


def take_shard(items: Sequence[Item], shard: str | None) -> list[Item]:
    """The part of a list that a job of several does: "3/10" is the third of ten, every tenth item from the third on.

    Raises: ValueError for another text.
    """
    if shard is None:
        return list(items)
    found = re.fullmatch(r"(\d+)/(\d+)", shard.strip())
    number, count = map(int, found.groups()) if found else (0, 0)
    if not 1 <= number <= count:
        raise ValueError(f"--shard: expected a number and a count such as 3/10, got {shard!r}")
    return list(items[number - 1 :: count])
