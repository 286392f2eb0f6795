"""Paths of a request must lie in the allowed folders, with everything that is read through them."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path

from bundle.formats.truncation import metaimage_fields, nrrd_fields

METAIMAGE = (".mha", ".mhd")
NRRD_MAGIC = b"NRRD"  # ITK recognises the format by it, whatever the suffix
ANALYZE = {".hdr": ".img", ".img": ".hdr"}
LOCAL = "LOCAL"


def check_inside(option: str, path: str | Path, folders: Sequence[Path]) -> None:
    """Check that a file or folder, the files in it, and the data file that a header names lie in one of the folders.

    Links are followed. The message does not depend on whether anything exists outside.

    Args:
        option: name of the option, for the error.
        folders: resolved; none allows every path.
    Raises: ValueError.
    """
    if not folders:
        return
    for part in _parts(Path(path)):
        real = Path(os.path.realpath(part))
        if not any(real.is_relative_to(folder) for folder in folders):
            raise ValueError(
                f"{option}: {path}: no id of the datastore, and no path in the folders this server may read"
            )


def check_readable(option: str, path: str | Path) -> None:
    """Check that a path, and what is in a folder, are no pipes or devices, which may never end. Raises: ValueError."""
    place = Path(path)
    for part in [place, *(place.rglob("*") if place.is_dir() else ())]:
        if part.exists() and not part.is_file() and not part.is_dir():
            raise ValueError(f"{option}: {part}: expected a file or a folder, found a pipe, a socket or a device")


def _parts(path: Path) -> Iterator[Path]:
    """A path, then what is read through it; the caller checks each before the next is looked for."""
    yield path
    if path.is_dir():
        for folder, folders, files in os.walk(path):  # does not enter linked folders
            yield from (Path(folder, name) for name in (*folders, *files))
    elif path.is_file():
        data = _data_file(path)
        if data is not None:
            yield path.parent / data


def _data_file(path: Path) -> str | None:
    """The other file that holds the voxels of an image, by its header."""
    suffix = path.suffix.lower()
    if suffix in ANALYZE:
        return path.with_suffix(ANALYZE[suffix]).name
    with path.open("rb") as file:
        is_nrrd = file.read(len(NRRD_MAGIC)) == NRRD_MAGIC
    if is_nrrd:
        fields, _ = nrrd_fields(path)
        return fields.get("data file", fields.get("datafile"))
    if suffix in METAIMAGE and path.stat().st_size:
        fields, _ = metaimage_fields(path)
        data = fields.get("ElementDataFile", LOCAL)
        return None if data.upper() == LOCAL else data
    return None
