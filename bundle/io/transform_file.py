"""Read and write ITK transform files: fixed to moving points, LPS mm in the file.

`write_transform` writes a CompositeTransform of a displacement field, applied first, and an affine, for ITK, SimpleITK,
ANTs and 3D Slicer.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import itk
import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from bundle.geometry import WorldTransform, apply_affine, invert_ddf, swap_ras_lps, swap_ras_lps_affine
from bundle.io.atomic import atomic_path
from bundle.io.displacement import PRECISION_MM, displacement_from_itk, read_displacement
from bundle.io.displacement import SUFFIXES as FIELD_SUFFIXES
from bundle.io.headers import set_itk_grid

SUFFIXES = (".tfm", ".txt", ".h5", ".hdf5", ".mat")


def read_transform(path: str | Path) -> itk.Transform:
    """Read a transform as an ITK object, fixed to moving points, LPS mm.

    Args:
        path: an ITK transform file with one transform or a CompositeTransform, or a displacement field, see
            `read_displacement`.
    Raises:
        FileNotFoundError: no such file.
        ValueError: not an ITK transform file; several transforms without a CompositeTransform; not 3-D.
    """
    path = Path(path)
    if path.name.endswith(FIELD_SUFFIXES):
        return displacement_transform(*read_displacement(path), itk.D)
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such transform file (expected an ITK transform: {', '.join(SUFFIXES)})")
    try:
        transforms = itk.transformread(str(path))
    except RuntimeError as error:
        raise ValueError(f"{path}: cannot be read as an ITK transform: {str(error).splitlines()[-1]}") from error
    if len(transforms) != 1:
        raise ValueError(f"{path}: expected one transform, or several as one CompositeTransform, got {len(transforms)}")
    if transforms[0].GetInputSpaceDimension() != 3:
        raise ValueError(f"{path}: expected a 3-D transform, got {type(transforms[0]).__name__}")
    return transforms[0]


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
    sides = torch.tensor(transform.ddf_vox.shape[2:], dtype=torch.float64)
    corners_vox = apply_affine(torch.linalg.inv(grid), corners_mm.double())
    before = (-corners_vox.amin(dim=0)).ceil().clamp_min(0)
    after = (corners_vox.amax(dim=0) - (sides - 1)).ceil().clamp_min(0)
    padding = [int(value) for axis in (2, 1, 0) for value in (before[axis], after[axis])]
    field_vox = F.pad(transform.ddf_vox.float().cpu(), padding, mode="replicate")[0]
    displacement_mm = torch.einsum("ab,bhwd->ahwd", grid[:3, :3].float(), field_vox)
    rounded = displacement_mm.div_(PRECISION_MM).round_().mul_(PRECISION_MM)  # halves the compressed size
    extended = grid.clone()
    extended[:3, 3] = apply_affine(grid, -before[None])[0]

    composite = itk.CompositeTransform[precision, 3].New()
    composite.AddTransform(_affine_transform(transform.grid_to_moving.double() @ torch.linalg.inv(grid), precision))
    composite.AddTransform(displacement_transform(rounded, extended, precision))  # ITK applies the last one first
    return composite


def invert_transform(transform: itk.Transform) -> itk.Transform:
    """Inverse of a linear transform, a displacement field or a composite of them.

    Fields are inverted by fixed-point iteration on their own grid (`geometry.invert_ddf`).
    Raises: ValueError for another transform.
    """
    if isinstance(transform, itk.CompositeTransform[itk.D, 3]):
        inverse = itk.CompositeTransform[itk.D, 3].New()
        for number in reversed(range(transform.GetNumberOfTransforms())):
            inverse.AddTransform(invert_transform(itk.down_cast(transform.GetNthTransform(number))))
        return inverse
    if transform.IsLinear():
        return transform.GetInverseTransform()
    if isinstance(transform, itk.DisplacementFieldTransform[itk.D, 3]):
        displacement_mm, affine = displacement_from_itk(transform.GetDisplacementField())
        vectors = affine[:3, :3].float()
        ddf_vox = torch.einsum("ab,bhwd->ahwd", torch.linalg.inv(vectors), displacement_mm)
        inverse_vox = invert_ddf(ddf_vox[None])[0]
        return displacement_transform(torch.einsum("ab,bhwd->ahwd", vectors, inverse_vox), affine, itk.D)
    raise ValueError(f"expected a linear transform, a displacement field or a composite of them, got {transform!r}")


def displacement_transform(displacement_mm: Tensor, affine: Tensor, precision: Any) -> itk.Transform:
    """ITK transform of a displacement (3, H, W, D), RAS mm, on the grid of `affine`; precision itk.F or itk.D."""
    image = itk.Image[itk.Vector[precision, 3], 3].New()
    image.SetRegions(list(displacement_mm.shape[1:]))
    set_itk_grid(image, affine)
    image.Allocate()
    itk.array_view_from_image(image)[:] = swap_ras_lps(displacement_mm.permute(3, 2, 1, 0)).numpy()
    transform = itk.DisplacementFieldTransform[precision, 3].New()
    transform.SetDisplacementField(image)
    return transform


def _affine_transform(affine: Tensor, precision: Any) -> itk.AffineTransform:
    """ITK transform of a world affine (4, 4), RAS mm; precision itk.F or itk.D."""
    lps = swap_ras_lps_affine(affine)
    matrix = lps[:3, :3].numpy()
    transform = itk.AffineTransform[precision, 3].New()
    transform.SetMatrix(itk.matrix_from_array(matrix.astype(np.float32) if precision == itk.F else matrix))
    transform.SetTranslation(lps[:3, 3].tolist())
    return transform
