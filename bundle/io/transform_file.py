"""Read and write ITK transform files: fixed to moving points, LPS mm in the file.

`write_transform` writes a CompositeTransform of a displacement field, applied first, and an affine, for ITK, SimpleITK,
ANTs and 3D Slicer.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import itk
import torch
from scipy.io import loadmat
from scipy.io.matlab import MatReadError
from torch import Tensor

from bundle.geometry import WorldTransform
from bundle.io.atomic import atomic_path
from bundle.io.displacement import PRECISION_MM, displacement_from_itk, read_displacement
from bundle.io.displacement import SUFFIXES as FIELD_SUFFIXES
from bundle.io.field_transform import affine_transform, displacement_transform, pad_field, padding_vox, split_transform

SUFFIXES = (".tfm", ".txt", ".h5", ".hdf5", ".mat")


def read_transform(path: str | Path) -> itk.Transform:
    """Read a transform as an ITK object, fixed to moving points, LPS mm.

    Args:
        path: an ITK transform file with one transform or a CompositeTransform, or a displacement field, see
            `read_displacement` and `split_transform`.
    Raises:
        FileNotFoundError: no such file.
        ValueError: not an ITK transform file; several transforms without a CompositeTransform; not 3-D.
    """
    path = Path(path)
    if path.name.lower().endswith(FIELD_SUFFIXES):
        return split_transform(*read_displacement(path))
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such transform file (expected an ITK transform: {', '.join(SUFFIXES)})")
    if path.suffix.lower() == ".mat":
        _check_mat(path)
    try:
        transforms = itk.transformread(str(path))
    except RuntimeError as error:
        raise ValueError(
            f"{path}: cannot be read as an ITK transform: truncated, damaged, or of a class that ITK does not know"
        ) from error
    if len(transforms) != 1:
        raise ValueError(f"{path}: expected one transform, or several as one CompositeTransform, got {len(transforms)}")
    if transforms[0].GetInputSpaceDimension() != 3:
        raise ValueError(f"{path}: expected a 3-D transform, got {type(transforms[0]).__name__}")
    if isinstance(transforms[0], itk.DisplacementFieldTransform[itk.D, 3]):
        return split_transform(*displacement_from_itk(transforms[0].GetDisplacementField()))
    return transforms[0]


def _check_mat(path: Path) -> None:
    """Raises: ValueError if a .mat file is cut: ITK would read arbitrary numbers."""
    try:
        names = loadmat(path).keys()
    except (ValueError, TypeError, IndexError, MatReadError) as error:
        raise ValueError(f"{path}: cannot be read as an ITK transform (truncated or damaged?): {error}") from error
    if "fixed" not in names:  # the last part of an ITK transform
        raise ValueError(f"{path}: truncated, or no ITK transform: expected the variable fixed, got {', '.join(names)}")


def write_transform(path: str | Path, transform: WorldTransform, corners_mm: Tensor) -> None:
    """Write a transform as an ITK HDF5 file (.h5), atomically; see `itk_transform`."""
    writer = itk.TransformFileWriterTemplate[itk.F].New()  # double precision would double the file size
    writer.SetInput(itk_transform(transform, corners_mm, itk.F))
    writer.SetUseCompression(True)
    with atomic_path(path) as temporary:
        writer.SetFileName(str(temporary))
        writer.Update()


def itk_transform(transform: WorldTransform, corners_mm: Tensor, precision: Any = itk.D) -> itk.CompositeTransform:
    """Convert to an ITK transform, fixed to moving points, LPS mm: an affine after a displacement field.

    The field stays on the network grid, without resampling, and is padded by whole voxels to cover the fixed scan:
    outside a field, ITK's displacement is zero, `WorldTransform`'s the border value.

    Args:
        transform: `grid_to_fixed` must have perpendicular axes.
        corners_mm: (N, 3), RAS mm, of the fixed scan.
        precision: itk.F or itk.D.
    """
    grid = transform.grid_to_fixed.double()
    before, after = padding_vox(transform.ddf_vox.shape[2:], grid, corners_mm)
    field_vox, extended = pad_field(transform.ddf_vox[0].float().cpu(), grid, before, after)
    displacement_mm = torch.einsum("ab,bhwd->ahwd", grid[:3, :3].float(), field_vox)
    rounded = displacement_mm.div_(PRECISION_MM).round_().mul_(PRECISION_MM)  # halves the compressed size

    composite = itk.CompositeTransform[precision, 3].New()
    composite.AddTransform(affine_transform(transform.grid_to_moving.double() @ torch.linalg.inv(grid), precision))
    composite.AddTransform(displacement_transform(rounded, extended, precision))  # ITK applies the last one first
    return composite
