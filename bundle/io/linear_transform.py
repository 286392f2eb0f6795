"""Read linear transforms, such as a user's initial alignment."""

from __future__ import annotations

from pathlib import Path

import itk
import torch
from torch import Tensor

from bundle.geometry import swap_ras_lps_affine
from bundle.io.transform_file import read_transform

MIN_VOLUME_FACTOR = 1e-3  # far below the volume ratio of any two scans of one chest


def read_linear_transform(path: str | Path) -> Tensor:
    """Read an ITK transform file as an affine (4, 4), float64, RAS mm, that maps fixed points to moving points.

    ITK, SimpleITK, ANTs (.mat) and 3D Slicer write these files (LPS mm), with one transform or a CompositeTransform.

    Raises:
        ValueError: the transform is not linear or not invertible; see also `read_transform`.
    """
    transform = read_transform(path)
    if not transform.IsLinear():
        raise ValueError(f"{path}: expected a linear 3-D transform, got {type(transform).__name__}")
    affine = _as_affine(transform)
    volume_factor = float(torch.linalg.det(affine[:3, :3]))
    if not abs(volume_factor) > MIN_VOLUME_FACTOR:  # also rejects NaN
        raise ValueError(
            f"{path}: the transform is singular: expected a volume factor above {MIN_VOLUME_FACTOR:g}, "
            f"got {volume_factor:g}"
        )
    return swap_ras_lps_affine(affine)


def _as_affine(transform: itk.Transform) -> Tensor:
    """Affine (4, 4) of a linear transform, from the images of the origin and the unit points."""
    affine = torch.eye(4, dtype=torch.float64)
    affine[:3, 3] = torch.tensor(list(transform.TransformPoint([0.0, 0.0, 0.0])), dtype=torch.float64)
    for axis in range(3):
        unit = [float(axis == other) for other in range(3)]
        affine[:3, axis] = torch.tensor(list(transform.TransformPoint(unit)), dtype=torch.float64) - affine[:3, 3]
    return affine
