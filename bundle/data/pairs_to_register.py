"""The pairs of an inference run: one, or the unfinished ones of a pairs file."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping, Sequence
from pathlib import Path

from bundle.data.config_values import check_as_typed
from bundle.data.pair import FILE_KEYS, OPTION_KEYS, PairFiles
from bundle.data.pairs import check_pairs, make_pair, read_pairs
from bundle.io import check_system, make_folder
from bundle.io.dicom_objects import find_sources

log = logging.getLogger(__name__)

SECTIONS = ("training", "validation", "test")
SCANS = ("fixed", "moving")
DICOM = "dicom"  # one of the further results
REPORT = "report.json"  # written last: a folder with it is complete


def pairs_to_register(
    *,
    output_dir: str | Path,
    pair: PairFiles | None = None,
    pairs_file: str | Path | None = None,
    overwrite: bool = False,
    write: str | Sequence[str] = (),
) -> list[dict[str, str]]:
    """The checked pairs of a run, each with its result folder `output_dir`, created if missing.

    A single pair writes into `output_dir` itself and is always registered. The pairs of a file (all sections) write to
    one folder each; those with a report are left out, so interrupted runs resume with the unfinished pairs.

    Args:
        output_dir: where results go.
        pair: a single pair.
        pairs_file: pairs file or a folder with one; excludes the files of `pair`, whose landmark system is the default
            of the pairs that name none.
        overwrite: also register the finished pairs of a file.
        write: further results: "dicom" needs scans that are DICOM series of one patient.
    Raises: ValueError if neither or both are given, NotADirectoryError or PermissionError if `output_dir` cannot be
        written, and what `check_pairs` raises; all before any scan is read.
    """
    given = {} if pair is None else pair.given()
    check_as_typed({"output_dir": output_dir, "pairs_file": pairs_file, **given})
    folder = Path(output_dir)
    system = {key: given.pop(key) for key in ("landmark_system",) if key in given and pairs_file is not None}
    if pair is not None and pairs_file is None and {"fixed", "moving"} <= given.keys():
        pairs, folders = [make_pair(pair)], [folder]
    elif pairs_file is not None and not given:
        check_system(system.get("landmark_system"))
        pairs = [system | item for item in read_pairs(pairs_file, section=SECTIONS)]
        folders = [folder / item["name"] for item in pairs]
        if not overwrite:
            todo = [not (place / REPORT).exists() for place in folders]
            log.info("%s: %d of %d pairs are finished", folder, len(todo) - sum(todo), len(todo))
            pairs = [item for item, is_open in zip(pairs, todo, strict=True) if is_open]
            folders = [place for place, is_open in zip(folders, todo, strict=True) if is_open]
    else:
        raise ValueError("expected either --fixed and --moving (and what belongs to them) or --pairs_file")
    check_pairs(pairs)
    for item in pairs if DICOM in ([write] if isinstance(write, str) else write) else ():
        find_sources({key: item[key] for key in SCANS}, {key: item.get(f"{key}_series") for key in SCANS})
    for place in [folder, *folders]:
        make_folder(place)
    return [
        {**item, "output_dir": str(place), "given": as_given(item)} for item, place in zip(pairs, folders, strict=True)
    ]


def as_given(item: Mapping[str, str]) -> str:
    """What was given for a pair, `PairFiles` by key, as a JSON text, which passes through an engine unchanged."""
    return json.dumps({key: value for key, value in item.items() if key in (*FILE_KEYS, *OPTION_KEYS)})
