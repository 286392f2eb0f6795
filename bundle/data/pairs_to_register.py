"""What an inference run has to do: one pair or a whole file of them, less what an earlier run has finished."""

from __future__ import annotations

import logging
import os
from pathlib import Path

from bundle.data.pairs import check_pairs, make_pair, read_pairs

log = logging.getLogger(__name__)

SECTIONS = ("training", "validation", "test")
REPORT = "report.json"  # written last: a pair's folder that holds it is complete


def pairs_to_register(
    *,
    output_dir: str | Path,
    overwrite: bool = False,
    pairs_file: str | Path | None = None,
    fixed: str | Path | None = None,
    moving: str | Path | None = None,
    fixed_mask: str | Path | None = None,
    moving_mask: str | Path | None = None,
    fixed_landmarks: str | Path | None = None,
    moving_landmarks: str | Path | None = None,
    initial_transform: str | Path | None = None,
) -> list[dict[str, str]]:
    """The checked pairs of a run, each with its result folder `output_dir`, made if missing.

    A single pair writes into `output_dir` itself and is always registered; the pairs of a file (all its sections) get a
    folder per name, and those with a finished report are left out, so that an interrupted run goes on where it stopped.

    Args:
        output_dir: where results go.
        overwrite: register finished pairs of a file again.
        pairs_file: pairs file or a folder with one; excludes the arguments below.
        fixed, moving: the scans of a single pair; the rest belongs to it, see `make_pair`.
    Raises: ValueError if neither or both ways are used, NotADirectoryError or PermissionError if `output_dir` cannot be
        written, and what `check_pairs` raises; all before any scan is read.
    """
    single = {
        "fixed_mask": fixed_mask,
        "moving_mask": moving_mask,
        "fixed_landmarks": fixed_landmarks,
        "moving_landmarks": moving_landmarks,
        "initial_transform": initial_transform,
    }
    folder = Path(output_dir)
    if pairs_file is None and fixed is not None and moving is not None:
        pairs = make_pair(fixed=fixed, moving=moving, **single)
        folders = [folder]
    elif pairs_file is not None and not any([fixed, moving, *single.values()]):
        pairs = read_pairs(pairs_file, section=SECTIONS)
        folders = [folder / pair["name"] for pair in pairs]
        if not overwrite:
            todo = [not (place / REPORT).exists() for place in folders]
            log.info("%s: %d of %d pairs are finished", folder, len(todo) - sum(todo), len(todo))
            pairs = [pair for pair, open_ in zip(pairs, todo, strict=True) if open_]
            folders = [place for place, open_ in zip(folders, todo, strict=True) if open_]
    else:
        raise ValueError("expected either --fixed and --moving (and what belongs to them) or --pairs_file")
    check_pairs(pairs)
    for place in [folder, *folders]:
        _check_writable(place)
    return [{**pair, "output_dir": str(place)} for pair, place in zip(pairs, folders, strict=True)]


def _check_writable(folder: Path) -> None:
    """Make the folder; refuse one that no file can be written to."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise NotADirectoryError(f"{folder}: the output folder cannot be made: {error.strerror}") from error
    if not os.access(folder, os.W_OK | os.X_OK):
        raise PermissionError(f"{folder}: the output folder is not writable")
