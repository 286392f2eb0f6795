"""The transform of a result folder, read as the field that was written."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from bundle.geometry import WorldTransform
from bundle.io import affine_from_itk, field_of, read_transform, world_transform_of

PARTS = ("AffineTransform_float_3_3", "DisplacementFieldTransform_float_3_3")  # ITK applies the last one first
NUMBERS = ("FixedParameters", "Parameters")


def read_world_transform(path: str | Path) -> WorldTransform:
    """Read the `transform.h5` of a result folder: an affine after a displacement field.

    From the numbers in the file: ITK takes fifteen times as long, and four times the memory, for a copy of each.

    Raises: ValueError for a transform of other parts, and what `bundle.io.read_transform` raises.
    """
    import h5py  # takes a moment, as in `write_transform`

    try:
        with h5py.File(path) as file:
            parts = [file[f"TransformGroup/{number}"] for number in (1, 2)]
            kinds = tuple(part["TransformType"][0].decode() for part in parts)
            if kinds == PARTS and len(file["TransformGroup"]) == 1 + len(PARTS):
                return _assembled(*(part[f"Transform{name}"][:] for part in parts for name in NUMBERS))
    except (OSError, KeyError):
        pass  # damaged, or of another kind: the reader of all kinds says so
    return field_of(read_transform(path), name=str(path), expected="the transform.h5 of a result folder")


def _assembled(centre: np.ndarray, linear: np.ndarray, grid: np.ndarray, vectors: np.ndarray) -> WorldTransform:
    """The transform of the parameters of both parts, see the classes of ITK."""
    after = torch.eye(4, dtype=torch.float64)
    matrix = torch.from_numpy(linear.astype(np.float64))
    after[:3, :3], middle = matrix[:9].view(3, 3), torch.from_numpy(centre.astype(np.float64))
    after[:3, 3] = matrix[9:] + middle - after[:3, :3] @ middle
    shape = grid[:3].astype(int).tolist()
    affine = affine_from_itk(grid[6:9].tolist(), grid[9:].reshape(3, 3), grid[3:6].tolist())
    return world_transform_of(torch.from_numpy(vectors).view(*shape[::-1], 3), affine, after)
