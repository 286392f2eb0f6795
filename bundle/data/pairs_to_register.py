"""The pairs of an inference run: one, or the unfinished ones of a pairs file."""

from __future__ import annotations

import logging
import os
from pathlib import Path

from bundle.data.pair import PairFiles
from bundle.data.pairs import check_pairs, make_pair, read_pairs

log = logging.getLogger(__name__)

SECTIONS = ("training", "validation", "test")
REPORT = "report.json"  # written last: a folder with it is complete


def pairs_to_register(
    *,
    output_dir: str | Path,
    pair: PairFiles | None = None,
    pairs_file: str | Path | None = None,
    overwrite: bool = False,
) -> list[dict[str, str]]:
    """The checked pairs of a run, each with its result folder `output_dir`, created if missing.

    A single pair writes into `output_dir` itself and is always registered. The pairs of a file (all sections) write to
    one folder each; those with a report are left out, so interrupted runs resume with the unfinished pairs.

    Args:
        output_dir: where results go.
        pair: a single pair.
        pairs_file: pairs file or a folder with one; excludes `pair`.
        overwrite: also register the finished pairs of a file.
    Raises: ValueError if neither or both are given, NotADirectoryError or PermissionError if `output_dir` cannot be
        written, and what `check_pairs` raises; all before any scan is read.
    """
    folder = Path(output_dir)
    given = {} if pair is None else pair.given()
    if pair is not None and pairs_file is None and {"fixed", "moving"} <= given.keys():
        pairs, folders = [make_pair(pair)], [folder]
    elif pairs_file is not None and not given:
        pairs = read_pairs(pairs_file, section=SECTIONS)
        folders = [folder / item["name"] for item in pairs]
        if not overwrite:
            todo = [not (place / REPORT).exists() for place in folders]
            log.info("%s: %d of %d pairs are finished", folder, len(todo) - sum(todo), len(todo))
            pairs = [item for item, is_open in zip(pairs, todo, strict=True) if is_open]
            folders = [place for place, is_open in zip(folders, todo, strict=True) if is_open]
    else:
        raise ValueError("expected either --fixed and --moving (and what belongs to them) or --pairs_file")
    check_pairs(pairs)
    for place in [folder, *folders]:
        _check_writable(place)
    return [{**item, "output_dir": str(place)} for item, place in zip(pairs, folders, strict=True)]


def _check_writable(folder: Path) -> None:
    """Create the folder. Raises: OSError if it cannot be written."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise NotADirectoryError(f"{folder}: the output folder cannot be created: {error.strerror}") from error
    if not os.access(folder, os.W_OK | os.X_OK):
        raise PermissionError(f"{folder}: the output folder is not writable")
