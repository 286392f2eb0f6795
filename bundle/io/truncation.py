"""Check that an image file has all the bytes stated in its header.

ITK 5.4 reads a truncated NIfTI without an error and leaves the missing voxels undefined, so files are checked first.
"""

from __future__ import annotations

import gzip
import zlib
from pathlib import Path

HEADER_LIMIT = 1 << 20  # bytes searched for the end of a text header
CHUNK_BYTES = 1 << 24


def check_complete(path: Path, data_bytes: int, *, offset_bytes: int = 0) -> None:
    """Check that a NIfTI, MetaImage or NRRD file has all its voxels, if possible without reading them.

    Args:
        path: an image file.
        data_bytes: uncompressed size of its voxels.
        offset_bytes: NIfTI only, uncompressed bytes before the first voxel.
    Raises: ValueError with the expected and found number of bytes; FileNotFoundError if a data file is missing.
    """
    name = path.name.lower()
    if name.endswith(".nii"):
        _compare(path, path.stat().st_size, offset_bytes + data_bytes)
    elif name.endswith(".nii.gz"):
        _check_gzip(path, 0, offset_bytes + data_bytes)
    elif name.endswith((".mha", ".mhd")):
        _check_metaimage(path, data_bytes)
    elif name.endswith(".nrrd"):
        _check_nrrd(path, data_bytes)


def _check_metaimage(path: Path, data_bytes: int) -> None:
    fields: dict[str, str] = {}
    with path.open("rb") as file:
        while (line := file.readline(HEADER_LIMIT)) and "ElementDataFile" not in fields:
            key, _, value = line.decode("latin-1").partition("=")
            fields[key.strip()] = value.strip()
            offset = file.tell()
    if fields.get("CompressedData", "False").lower() == "true":
        if "CompressedDataSize" not in fields:
            return  # old writers omit it; MetaIO then detects truncation while reading
        data_bytes = int(fields["CompressedDataSize"])
    data_file = fields.get("ElementDataFile", "")
    if data_file.upper() == "LOCAL":
        _compare(path, path.stat().st_size - offset, data_bytes)
    elif (path.parent / data_file).is_file():
        _compare(path.parent / data_file, (path.parent / data_file).stat().st_size, data_bytes)
    elif " " not in data_file and "%" not in data_file:  # neither a LIST nor a pattern of slices
        raise FileNotFoundError(f"{path}: its data file {path.parent / data_file} does not exist")


def _check_nrrd(path: Path, data_bytes: int) -> None:
    with path.open("rb") as file:
        head = file.read(HEADER_LIMIT)
    end = head.replace(b"\r\n", b"\n\n").find(b"\n\n") if b"\r\n" not in head[:64] else head.find(b"\r\n\r\n") + 2
    fields = dict(line.split(b":", 1) for line in head[:end].splitlines() if b":" in line)
    encoding = fields.get(b"encoding", b"").strip()
    if b"data file" in fields or b"datafile" in fields:
        return  # detached: nrrdio reads the other file
    if encoding == b"raw":
        _compare(path, path.stat().st_size - end - 2, data_bytes)
    elif encoding in (b"gzip", b"gz"):
        _check_gzip(path, end + 2, data_bytes)


def _check_gzip(path: Path, start: int, expected: int) -> None:
    """Compare the uncompressed size modulo 2**32 at the end of a gzip stream; if it differs, decompress and count."""
    with path.open("rb") as file:
        file.seek(-4, 2)
        if int.from_bytes(file.read(4), "little") == expected % (1 << 32):
            return
        file.seek(start)
        found = 0
        try:
            with gzip.open(file) as stream:
                while found < expected and (chunk := stream.read(CHUNK_BYTES)):
                    found += len(chunk)
        except (EOFError, zlib.error, gzip.BadGzipFile) as error:
            raise ValueError(
                f"{path}: truncated or damaged: expected {expected} bytes after decompression, "
                f"found {found} before the error ({error})"
            ) from error
    _compare(path, found, expected)


def _compare(path: Path, found: int, expected: int) -> None:
    if found < expected:
        raise ValueError(f"{path}: truncated: expected {expected} bytes, found {found}")
