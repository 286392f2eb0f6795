"""Check that an image file has all the bytes stated in its header.

ITK 5.4 reads a truncated NIfTI without an error and leaves the missing voxels undefined, so files are checked first.
"""

from __future__ import annotations

import gzip
import zlib
from pathlib import Path

HEADER_LIMIT = 1 << 20  # bytes searched for the end of a text header
CHUNK_BYTES = 1 << 24
MAX_RATIO = 1040  # deflate packs at most 1032 bytes into one


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
    elif name.endswith((".nrrd", ".nhdr")):
        _check_nrrd(path, data_bytes)


def metaimage_fields(path: Path) -> tuple[dict[str, str], int]:
    """Fields of a MetaImage header, in the order of the file, and the position of the first byte after it."""
    fields: dict[str, str] = {}
    with path.open("rb") as file:
        while file.tell() < HEADER_LIMIT and (line := file.readline(HEADER_LIMIT)) and "ElementDataFile" not in fields:
            key, _, value = line.decode("latin-1").partition("=")
            fields[key.strip()] = value.strip()
            offset = file.tell()
    if not fields:
        raise ValueError(f"{path}: cannot be read as an image: empty file")
    return fields, offset


def nrrd_fields(path: Path) -> tuple[dict[str, str], int]:
    """Fields of a NRRD header, by lower-case name, and the position of the first byte after it."""
    with path.open("rb") as file:
        head = file.read(HEADER_LIMIT)
    if not head.startswith(b"NRRD"):
        raise ValueError(f"{path}: cannot be read as NRRD: expected a first line NRRD0001 to NRRD0005")
    end, after = len(head), len(head)
    for mark in (b"\n\n", b"\r\n\r\n"):
        if 0 <= head.find(mark) < end:
            end, after = head.find(mark), head.find(mark) + len(mark)
    fields: dict[str, str] = {}
    for line in head[:end].decode("latin-1").splitlines()[1:]:
        if not line.startswith("#") and ": " in f"{line} " and ":=" not in line:
            key, _, value = line.partition(":")
            fields[key.strip().lower()] = value.strip()
    return fields, after


def _check_metaimage(path: Path, data_bytes: int) -> None:
    fields, offset = metaimage_fields(path)
    is_packed = fields.get("CompressedData", "False").lower() == "true"
    data_file = fields.get("ElementDataFile", "")
    if data_file.upper() == "LOCAL":
        file, found = path, path.stat().st_size - offset
    elif (path.parent / data_file).is_file():
        file = path.parent / data_file
        found = file.stat().st_size
    elif " " in data_file or "%" in data_file or data_file == "LIST":
        raise ValueError(f"{path}: expected voxels in one file, got a list or pattern of slices: {data_file!r}")
    else:
        raise FileNotFoundError(f"{path}: its data file {path.parent / data_file} does not exist")
    if not is_packed:
        _compare(file, found, data_bytes)
        return
    stated = fields.get("CompressedDataSize", "0")
    if not stated.isdigit():
        raise ValueError(f"{path}: unreadable header: CompressedDataSize: expected a whole number, got {stated[:40]!r}")
    _compare(file, found, int(stated))  # old writers omit it; MetaIO then detects truncation while reading
    _compare(file, found * MAX_RATIO, data_bytes)
    _inflate(file, offset if file == path else 0, data_bytes)


def _check_nrrd(path: Path, data_bytes: int) -> None:
    fields, offset = nrrd_fields(path)
    encoding = fields.get("encoding", "").lower()
    data_file = fields.get("data file", fields.get("datafile"))
    if data_file is not None:
        file, offset = path.parent / data_file, 0
        if data_file.split()[:1] == ["LIST"] or "%" in data_file:
            raise ValueError(f"{path}: expected voxels in one file, got a list or pattern of slices: {data_file!r}")
        if not file.is_file():
            raise FileNotFoundError(f"{path}: its data file {file} does not exist")
    else:
        file = path
    if encoding == "raw":
        _compare(file, file.stat().st_size - offset, data_bytes)
    elif encoding in ("gzip", "gz"):
        _check_gzip(file, offset, data_bytes)


def _check_gzip(path: Path, start: int, expected: int) -> None:
    """Compare the uncompressed size modulo 2**32 at the end of a gzip stream; if it differs, decompress and count."""
    size = path.stat().st_size
    if size - start < 18:  # header and trailer
        raise ValueError(f"{path}: truncated: expected {expected} bytes, found a gzip stream of {size - start} bytes")
    _compare(path, (size - start) * MAX_RATIO, expected)
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


def _inflate(path: Path, start: int, expected: int) -> None:
    """Decompress a zlib stream, since MetaIO returns undefined voxels of a damaged one."""
    unpacker, found, reason = zlib.decompressobj(), 0, "the stream has no end"
    with path.open("rb") as file:
        file.seek(start)
        try:
            while found <= expected and not unpacker.eof:
                packed = unpacker.unconsumed_tail or file.read(CHUNK_BYTES)
                chunk = unpacker.decompress(packed, CHUNK_BYTES)
                if not (packed or chunk):
                    break
                found += len(chunk)
        except zlib.error as error:
            reason = str(error)
    if not unpacker.eof:
        raise ValueError(
            f"{path}: truncated or damaged: expected {expected} bytes after decompression, "
            f"found {found} before the error ({reason})"
        )
    _compare(path, found, expected)


def _compare(path: Path, found: int, expected: int) -> None:
    if found < expected:
        raise ValueError(f"{path}: truncated: expected {expected} bytes, found {found}")
