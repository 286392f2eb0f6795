"""Read and write ITK transform files: fixed to moving points, LPS mm in the file.

`write_transform` writes a CompositeTransform of a displacement field and an affine, for ITK, SimpleITK, ANTs and 3D
Slicer. ITK's own writer deflates on one processor and does not sort the bytes of the numbers first (HDF5's shuffle
filter): it takes 50 times as long, for files a third larger.
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import itk
import numpy as np
import torch
from isal import isal_zlib
from scipy.io import loadmat
from scipy.io.matlab import MatReadError
from torch import Tensor

from bundle.formats.dicom import is_dicom
from bundle.geometry import WorldTransform, apply_affine, swap_ras_lps, swap_ras_lps_affine
from bundle.io.atomic import atomic_path
from bundle.io.dicom_objects import read_spatial_registration
from bundle.io.displacement import SUFFIXES as FIELD_SUFFIXES
from bundle.io.displacement import displacement_from_itk, read_displacement
from bundle.io.field_transform import affine_transform, displacement_transform, pad_field, padding_vox, split_transform
from bundle.io.headers import itk_from_affine

PRECISION_MM = 2.0**-5  # vectors are rounded to it, by 0.016 mm at most: half the size of unrounded ones
INVERSE_PRECISION_MM = 2.0**-4
CHUNK_VALUES = 1 << 20
DEFLATE_LEVEL = 2
SUFFIXES = (".tfm", ".txt", ".h5", ".hdf5", ".mat")


def read_transform(path: str | Path) -> itk.Transform:
    """Read a transform as an ITK object, fixed to moving points, LPS mm.

    Args:
        path: an ITK transform file with one transform or a CompositeTransform, or a displacement field, see
            `read_displacement` and `split_transform`, or a DICOM object, see `read_spatial_registration`.
    Raises:
        FileNotFoundError: no such file.
        ValueError: not an ITK transform file; several transforms without a CompositeTransform; not 3-D.
    """
    path = Path(path)
    if path.name.lower().endswith(FIELD_SUFFIXES):
        return split_transform(*read_displacement(path))
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such transform file (expected an ITK transform: {', '.join(SUFFIXES)})")
    if is_dicom(path):
        return read_spatial_registration(path)
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


def write_transform(
    path: str | Path, transform: WorldTransform, corners_mm: Tensor, *, field_last: bool = False
) -> None:
    """Write a transform as an ITK HDF5 file (.h5), atomically; see `itk_transform`.

    Single precision; vectors are rounded to `PRECISION_MM`, those of an inverse (`field_last`), which the sampling of
    the grid limits to about that, to `INVERSE_PRECISION_MM`.
    """
    affine, displacement_mm, grid = _parts(transform, corners_mm, field_last=field_last)
    step_mm = INVERSE_PRECISION_MM if field_last else PRECISION_MM
    steps = displacement_mm.div_(step_mm).round_()  # in place: the field is large
    spacing, direction, origin = itk_from_affine(grid)
    field = (
        "DisplacementFieldTransform_float_3_3",
        [*steps.shape[1:], *origin, *spacing, *direction.ravel()],
        (swap_ras_lps(torch.full((3,), step_mm)) * steps.permute(3, 2, 1, 0)).contiguous().view(-1).numpy(),
    )
    linear = swap_ras_lps_affine(affine)
    matrix = torch.cat([linear[:3, :3].flatten(), linear[:3, 3]]).float().numpy()
    after = ("AffineTransform_float_3_3", [0.0, 0.0, 0.0], matrix)
    with atomic_path(path) as temporary:
        _write_hdf5(temporary, (field, after) if field_last else (after, field))  # ITK applies the last one first


def itk_transform(transform: WorldTransform, corners_mm: Tensor, *, field_last: bool = False) -> itk.CompositeTransform:
    """Convert to an ITK transform of LPS mm: an affine after a displacement field, or before it.

    The field stays on the network grid, without resampling, and is padded by whole voxels to cover the scan: outside a
    field, ITK's displacement is zero, `WorldTransform`'s the border value.

    Args:
        transform: its grid that carries the field must have perpendicular axes: `grid_to_fixed`, or `grid_to_moving`.
        corners_mm: (N, 3), RAS mm, of the scan whose points are mapped.
        field_last: for an inverse, whose field lies in the world it leads to.
    """
    affine, displacement_mm, grid = _parts(transform, corners_mm, field_last=field_last)
    parts = [displacement_transform(displacement_mm, grid, itk.D), affine_transform(affine, itk.D)]
    composite = itk.CompositeTransform[itk.D, 3].New()
    for part in parts if field_last else reversed(parts):
        composite.AddTransform(part)  # ITK applies the last one first
    return composite


def _parts(transform: WorldTransform, corners_mm: Tensor, *, field_last: bool) -> tuple[Tensor, Tensor, Tensor]:
    """The affine (4, 4), and the field (3, H, W, D) on its grid (4, 4), RAS mm, of `itk_transform`."""
    start, end = transform.grid_to_fixed.double().cpu(), transform.grid_to_moving.double().cpu()
    affine = end @ torch.linalg.inv(start)
    grid, reached_mm = (end, apply_affine(affine, corners_mm.double())) if field_last else (start, corners_mm)
    displacement_mm = torch.einsum("ab,bhwd->ahwd", grid[:3, :3].to(transform.ddf_vox), transform.ddf_vox[0]).cpu()
    return affine, *pad_field(displacement_mm, grid, *padding_vox(displacement_mm.shape[1:], grid, reached_mm))


def _write_hdf5(path: Path, parts: Sequence[tuple[str, Sequence[float], np.ndarray]]) -> None:
    """Write the file that ITK's HDF5TransformIO reads: type, fixed parameters and float32 parameters of each part."""
    import h5py  # takes a moment, and only writing needs it

    def text(group: h5py.Group, name: str, value: str) -> None:
        group.create_dataset(name, data=[value], dtype=h5py.string_dtype("ascii"))

    with h5py.File(path, "w") as file, ThreadPoolExecutor(torch.get_num_threads()) as pool:
        text(file, "HDFVersion", h5py.version.hdf5_version)
        text(file, "TransformGroup/0/TransformType", "CompositeTransform_float_3_3")
        for number, (kind, fixed, values) in enumerate(parts, 1):
            group = file.create_group(f"TransformGroup/{number}")
            text(group, "TransformType", kind)
            group["TransformFixedParameters"] = np.array(fixed, dtype=np.float64)
            chunk = min(CHUNK_VALUES, values.size)
            filters = {"chunks": (chunk,), "shuffle": True, "compression": "gzip", "compression_opts": 1}
            stored = group.create_dataset("TransformParameters", values.shape, "<f4", **filters)
            pieces = [values[start : start + chunk] for start in range(0, values.size, chunk)]
            for number, packed in enumerate(pool.map(partial(_packed, size=chunk), pieces)):
                stored.id.write_direct_chunk((number * chunk,), packed)


def _packed(values: np.ndarray, *, size: int) -> bytes:
    """A chunk of `size` float32 as HDF5's filters shuffle and deflate it; the last one of a data set is filled up."""
    filled = np.pad(values, (0, size - values.size))
    return isal_zlib.compress(np.ascontiguousarray(filled.view(np.uint8).reshape(size, 4).T), DEFLATE_LEVEL)
