"""Pairs of scans from a JSON file in MONAI's datalist style.

    {"training": [{"name": "copd1", "fixed": "copd1/inhale.nii.gz", "moving": "copd1/exhale.nii.gz", ...}],
     "validation": [...], "test": [...]}

Paths are relative to the file as it is named, which may be a symbolic link. Keys: `name` and those of `PairFiles`;
`fixed` and `moving` are required.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from bundle.data.config_values import check_as_typed
from bundle.data.pair import FILE_KEYS, OPTION_KEYS, PairFiles
from bundle.formats import read_json
from bundle.io import check_header, check_landmark_pair, check_mask, check_mask_file, check_system, read_landmarks

PAIRS_FILE = "pairs.json"
REQUIRED_KEYS = ("name", "fixed", "moving")
KEYS = ("name", *FILE_KEYS, *OPTION_KEYS)
HELP = (
    "DIR-Lab is free after registration at https://www.dir-lab.com (today: https://med.emory.edu/departments/"
    "radiation-oncology/research-laboratories/deformable-image-registration/); then run: "
    "python -m scripts.prepare_dirlab --source RAW --output_dir DIR, and pass "
    "--dataset_dir DIR. To run on embedded data instead, leave dataset_dir out."
)


def read_pairs(
    path: str | Path | Sequence[str | Path], *, section: str | Sequence[str], missing_ok: bool = False
) -> list[dict[str, str]]:
    """Read the pairs of one or more sections, with absolute paths.

    Args:
        path: folder with a pairs.json, or a JSON file; of several, the folder's name precedes the names of its pairs.
        section: `training`, `validation`, `test`, or several of them.
        missing_ok: do not look whether the files of the items exist.
    Raises:
        FileNotFoundError: no such folder or file (with how to get data), or an item names a missing file.
        ValueError: malformed JSON (with its line); no pair in these sections; an item (named) with an unknown, missing
            or empty key; a name used twice.
    """
    if not isinstance(path, (str, Path)):
        parts = [(_find(Path(part)), read_pairs(part, section=section, missing_ok=missing_ok)) for part in path]
        return [pair | {"name": f"{file.parent.name}_{pair['name']}"} for file, pairs in parts for pair in pairs]
    check_as_typed({"dataset_dir": path})
    file = _find(Path(path))
    content = _parse(file)
    sections = [section] if isinstance(section, str) else list(section)
    for part in sections:
        if not isinstance(content.get(part, []), list):
            raise ValueError(f"{file}: {part!r} must be a list of pairs, got {content[part]!r}")
    items = [
        (f"{file}: {part}[{index}]", item) for part in sections for index, item in enumerate(content.get(part, []))
    ]
    if not items:
        filled = ", ".join(
            f"{key} ({len(value)})" for key, value in content.items() if isinstance(value, list) and value
        )
        raise ValueError(
            f"{file}: no pairs in {' or '.join(map(repr, sections))}; sections with pairs: {filled or 'none'}"
        )
    return resolve_pairs(items, file, missing_ok=missing_ok)


def resolve_pairs(items: Iterable[tuple[str, Any]], file: Path, *, missing_ok: bool = False) -> list[dict[str, str]]:
    """The pairs of a list with absolute paths.

    Args:
        items: of the list, each with its place in it, for errors.
        file: the list; paths are relative to its folder.
        missing_ok: do not look whether the files exist.
    Raises: FileNotFoundError, ValueError: as `read_pairs`.
    """
    pairs = [_resolve(where, item, file.parent, missing_ok=missing_ok) for where, item in items]
    counts = Counter(pair["name"] for pair in pairs)
    doubled = sorted(name for name, count in counts.items() if count > 1)
    if doubled:
        raise ValueError(f"{file}: expected a different name for every pair, used more than once: {', '.join(doubled)}")
    return pairs


def make_pair(files: PairFiles) -> dict[str, str]:
    """A pair from paths relative to the working folder, named after the fixed scan.

    Raises: ValueError if a scan is missing; FileNotFoundError naming the argument and the path.
    """
    given = files.given()
    name = Path(os.path.abspath(given.get("fixed", ""))).name.split(".")[0]
    return _resolve("pair", {"name": name or "pair", **given}, Path.cwd())


def check_pairs(pairs: list[dict[str, str]]) -> list[dict[str, str]]:
    """Check the headers, masks and landmarks of all pairs before any long work; returns the pairs.

    Raises: FileNotFoundError, ValueError: what is wrong, one line for each broken pair, by name.
    """
    problems: list[str] = []
    missing = True
    for pair in pairs:
        try:
            _check_pair(pair)
        except (FileNotFoundError, ValueError) as error:
            problems.append(f"pair {pair['name']!r}: {error}")
            missing = missing and isinstance(error, FileNotFoundError)
    if problems:
        lead = "" if len(problems) == 1 else f"{len(problems)} of {len(pairs)} pairs cannot be used:\n"
        raise (FileNotFoundError if missing else ValueError)(lead + "\n".join(problems))
    return pairs


def _find(path: Path) -> Path:
    if not path.exists():
        raise FileNotFoundError(f"{path}: no such folder or pairs file. {HELP}")
    file = path / PAIRS_FILE if path.is_dir() else path
    if not file.is_file():
        raise FileNotFoundError(f"{path}: no {PAIRS_FILE} in this folder. {HELP}")
    return file.absolute()  # not resolved: a link's own name has the suffix, and its folder the other files


def _parse(file: Path) -> dict[str, Any]:
    content = read_json(file, "pairs file")
    if not isinstance(content, dict):
        raise ValueError(
            f"{file}: expected an object with lists training, validation, test, got a {type(content).__name__}"
        )
    return content


def _resolve(where: str, item: Any, folder: Path, *, missing_ok: bool = False) -> dict[str, str]:
    if not isinstance(item, dict):
        raise ValueError(f"{where}: expected an object with {', '.join(REQUIRED_KEYS)}, got {item!r}")
    where = f"{where} ({item['name']})" if "name" in item else where
    for key in REQUIRED_KEYS:
        if key not in item:
            raise ValueError(f"{where}: missing key {key!r}")
    for key, value in item.items():
        if key not in KEYS:
            raise ValueError(f"{where}: unknown key {key!r}, expected one of {', '.join(KEYS)}")
        if not isinstance(value, str) or not value:
            raise ValueError(f"{where}: {key!r} must be a non-empty text, got {value!r}")
    if os.sep in item["name"] or item["name"] in (".", ".."):
        raise ValueError(f"{where}: the name becomes a folder and cannot hold {os.sep!r}")
    pair = {"name": item["name"]} | {key: str((folder / item[key]).absolute()) for key in FILE_KEYS if key in item}
    for key in () if missing_ok else pair.keys() - {"name"}:
        if not Path(pair[key]).exists():
            raise FileNotFoundError(f"{where}: {key!r} does not exist: {pair[key]}")
    check_system(item.get("landmark_system"))
    return pair | {key: item[key] for key in OPTION_KEYS if key in item}


def _check_pair(pair: dict[str, str]) -> None:
    headers = {key: check_header(pair[key], pair.get(f"{key}_series")) for key in ("fixed", "moving")}
    landmarks = {}
    for key, header in headers.items():
        if f"{key}_mask" in pair:
            check_mask(check_mask_file(pair[f"{key}_mask"]), header)
        if f"{key}_landmarks" in pair:
            landmarks[key] = read_landmarks(pair[f"{key}_landmarks"], header, system=pair.get("landmark_system"))
    if len(landmarks) == 2:
        check_landmark_pair(pair["fixed_landmarks"], landmarks["fixed"], pair["moving_landmarks"], landmarks["moving"])
