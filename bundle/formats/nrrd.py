"""Check the header of a NRRD file (.nrrd, .nhdr) before ITK reads it."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from os import PathLike
from pathlib import Path

import numpy as np

from bundle.formats.file_header import (
    MAX_AXES,
    FileHeader,
    check_components,
    check_geometry,
    check_origin,
    check_shape,
    numbers,
    unit_in_mm,
    whole_numbers,
)
from bundle.formats.truncation import check_complete, nrrd_fields

SUFFIXES = (".nrrd", ".nhdr")
SEGMENTATION = ".seg.nrrd"  # of 3D Slicer: overlapping segments lie in several layers, a first axis
TYPES_BYTES = {
    **dict.fromkeys(("signed char", "int8", "int8_t", "uchar", "unsigned char", "uint8", "uint8_t"), 1),
    **dict.fromkeys(("short", "short int", "signed short", "signed short int", "int16", "int16_t"), 2),
    **dict.fromkeys(("ushort", "unsigned short", "unsigned short int", "uint16", "uint16_t"), 2),
    **dict.fromkeys(("int", "signed int", "int32", "int32_t", "uint", "unsigned int", "uint32", "uint32_t"), 4),
    **dict.fromkeys(("longlong", "long long", "long long int", "signed long long", "int64", "int64_t"), 8),
    **dict.fromkeys(("ulonglong", "unsigned long long", "unsigned long long int", "uint64", "uint64_t"), 8),
    "float": 4,
    "double": 8,
}
ENCODINGS = ("raw", "gzip", "gz", "ascii", "text", "txt", "bzip2", "bz2", "hex")
VECTOR_KINDS = ("vector", "covariant-vector", "normal", "list", "point", "stub", "scalar", "complex", "2-vector")


def check_nrrd(path: Path, components: int = 1) -> FileHeader:
    """Check a NRRD file, without its voxels. Raises: ValueError, FileNotFoundError: see `check_image_file`."""
    fields, _ = nrrd_fields(path)
    for field in ("type", "dimension", "sizes", "encoding"):
        if not fields.get(field):
            raise ValueError(f"{path}: unreadable header: expected a NRRD file with the field {field!r}, got none")
    (axes,) = whole_numbers(path, "dimension", fields["dimension"], 1)
    if not 1 <= axes <= MAX_AXES:
        raise ValueError(f"{path}: unreadable header: dimension: expected 3, got {axes}")
    sizes = whole_numbers(path, "sizes", fields["sizes"], axes)
    kinds = fields.get("kinds", "").lower().split()
    leading = axes == 4 and (_is_vector(kinds) or fields.get("space directions", "").lower().startswith("none"))
    if components > 1 or (leading and not is_layered(path)):  # layers are for who reads a mask to accept
        check_components(path, sizes[0] if leading else 1, components)
    shape = check_shape(path, sizes[1:] if leading else sizes)
    kind = fields["type"].lower()
    if kind not in TYPES_BYTES:
        raise ValueError(f"{path}: unreadable header: expected a type such as short or float, got {kind[:40]!r}")
    if fields["encoding"].lower() not in ENCODINGS:
        raise ValueError(
            f"{path}: unreadable header: expected an encoding of {', '.join(ENCODINGS)}, "
            f"got {fields['encoding'][:40]!r}"
        )
    unit_mm = nrrd_unit_mm(path, fields)
    columns = _columns(path, fields, axes) * unit_mm
    spacing = np.linalg.norm(columns, axis=0)
    check_geometry(str(path), spacing, columns / np.where(spacing > 0, spacing, 1))
    origin = fields.get("space origin", "")
    if origin:
        check_origin(path, numbers(path, "space origin", re.sub(r"[(),]", " ", origin), 3))
    check_complete(path, math.prod(sizes) * TYPES_BYTES[kind])
    x, y, z = spacing.tolist()
    has_position = "space directions" in fields or bool(origin)
    return FileHeader(path=str(path), shape=shape, spacing_mm=(x, y, z), has_position=has_position)


def is_layered(path: str | PathLike[str]) -> bool:
    """Whether a file is a segmentation of 3D Slicer with several layers. Raises: ValueError if it is not NRRD."""
    file = Path(path)
    return file.name.lower().endswith(SEGMENTATION) and file.is_file() and nrrd_fields(file)[0].get("dimension") == "4"


def nrrd_unit_mm(path: Path, fields: Mapping[str, str]) -> float:
    """Length of the unit of `space units` or `units`, mm. Raises: ValueError if axes have different ones."""
    stated = re.findall(r'"([^"]*)"', fields.get("space units", fields.get("units", "")))
    units = {unit_in_mm(path, unit) for unit in stated if unit.strip() not in ("", "???", "none")}
    if len(units) > 1:
        raise ValueError(f"{path}: expected one unit for all axes, got {', '.join(stated)}")
    return units.pop() if units else 1.0


def _is_vector(kinds: list[str]) -> bool:
    return bool(kinds) and (kinds[0] in VECTOR_KINDS or "color" in kinds[0] or "vector" in kinds[0])


def _columns(path: Path, fields: Mapping[str, str], axes: int) -> np.ndarray:
    """Directions (3, 3) times voxel sizes, in columns."""
    directions = fields.get("space directions")
    if directions:
        vectors = [text for text in re.findall(r"\(([^)]*)\)|none", directions) if text]
        rows = [numbers(path, "space directions", vector.replace(",", " "), 3) for vector in vectors[:3]]
        if len(rows) != 3:
            raise ValueError(
                f"{path}: unreadable header: space directions: expected 3 vectors, got {directions[:80]!r}"
            )
        return np.array(rows).T
    if "spacings" in fields:
        values = numbers(path, "spacings", fields["spacings"], axes)
        return np.diag(values[-3:] if axes == 4 and math.isnan(values[0]) else values[:3])
    return np.eye(3)
