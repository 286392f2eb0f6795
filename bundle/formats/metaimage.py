"""Check the header of a MetaImage (.mha, .mhd) before ITK reads it."""

from __future__ import annotations

import math
from collections.abc import Mapping
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
from bundle.formats.truncation import check_complete, metaimage_fields

SUFFIXES = (".mha", ".mhd")
TYPES_BYTES = {
    "MET_CHAR": 1,
    "MET_UCHAR": 1,
    "MET_SHORT": 2,
    "MET_USHORT": 2,
    "MET_INT": 4,
    "MET_UINT": 4,
    "MET_LONG": 4,
    "MET_ULONG": 4,
    "MET_LONG_LONG": 8,
    "MET_ULONG_LONG": 8,
    "MET_FLOAT": 4,
    "MET_DOUBLE": 8,
}
DIRECTIONS = ("TransformMatrix", "Rotation", "Orientation")  # former names
ORIGINS = ("Offset", "Position", "Origin")


def check_metaimage(path: Path, components: int = 1) -> FileHeader:
    """Check a MetaImage, without its voxels. Raises: ValueError, FileNotFoundError: see `check_image_file`."""
    fields, _ = metaimage_fields(path)
    for field in ("NDims", "DimSize", "ElementType", "ElementDataFile"):
        if not fields.get(field):
            raise ValueError(f"{path}: unreadable header: expected a MetaImage with the field {field}, got none")
    (axes,) = whole_numbers(path, "NDims", fields["NDims"], 1)
    if axes > MAX_AXES:
        raise ValueError(f"{path}: unreadable header: NDims: expected 3, got {axes}")
    shape = check_shape(path, whole_numbers(path, "DimSize", fields["DimSize"], axes))
    channels = whole_numbers(path, "ElementNumberOfChannels", fields.get("ElementNumberOfChannels", "1"), 1)[0]
    check_components(path, channels, components)
    if fields["ElementType"] not in TYPES_BYTES:
        raise ValueError(
            f"{path}: unreadable header: expected an ElementType of {', '.join(TYPES_BYTES)}, "
            f"got {fields['ElementType'][:40]!r}"
        )
    unit_mm = metaimage_unit_mm(path, fields)
    stated = fields.get("ElementSpacing", fields.get("ElementSize", " ".join(["1"] * axes)))
    spacing = np.array(numbers(path, "ElementSpacing", stated, axes))[:3] * unit_mm
    matrix = next((fields[name] for name in DIRECTIONS if name in fields), None)
    identity = " ".join(f"{value:g}" for value in np.eye(axes).ravel())
    direction = np.array(numbers(path, "TransformMatrix", matrix or identity, axes * axes)).reshape(axes, axes)
    check_geometry(str(path), spacing, direction[:3, :3].T)
    origin = next((fields[name] for name in ORIGINS if name in fields), None)
    check_origin(path, numbers(path, "Offset", origin or " ".join(["0"] * axes), axes))
    check_complete(path, components * math.prod(shape) * TYPES_BYTES[fields["ElementType"]])
    x, y, z = spacing.tolist()
    has_position = matrix is not None or origin is not None
    return FileHeader(path=str(path), shape=shape, spacing_mm=(x, y, z), has_position=has_position)


def metaimage_unit_mm(path: Path, fields: Mapping[str, str]) -> float:
    """Length of `DistanceUnits`, mm; MetaIO writes ? where it is unknown."""
    return unit_in_mm(path, fields.get("DistanceUnits", "mm").replace("?", "mm"))
