"""Read and write ITK transform files: fixed to moving points, LPS mm in the file.

`write_transform` writes a CompositeTransform of a displacement field and an affine, for ITK, SimpleITK, ANTs and 3D
Slicer. ITK's own writer deflates on one processor and does not sort the bytes of the numbers first (HDF5's shuffle
filter): it takes 50 times as long, for files a third larger.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import NamedTuple

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
from bundle.io.field_transform import (
    affine_transform,
    displacement_transform,
    pad_affine,
    padding_vox,
    split_transform,
)
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
    affine, field = _parts(transform, corners_mm, field_last=field_last)
    step_mm = INVERSE_PRECISION_MM if field_last else PRECISION_MM
    steps = swap_ras_lps(torch.full((3,), step_mm)).view(3, 1, 1, 1)
    height, width, depth = field.shape
    planes = min(depth, max(1, CHUNK_VALUES // (3 * height * width)))

    def vectors(number: int) -> np.ndarray:
        part = field.planes(number * planes, (number + 1) * planes)
        return part.div_(steps).round_().mul_(step_mm).permute(3, 2, 1, 0).contiguous().view(-1).numpy()

    spacing, direction, origin = itk_from_affine(field.affine)
    linear = swap_ras_lps_affine(affine)
    matrix = torch.cat([linear[:3, :3].flatten(), linear[:3, 3]]).float().numpy()
    parts = [
        _Part(
            "DisplacementFieldTransform_float_3_3",
            [*field.shape, *origin, *spacing, *direction.ravel()],
            3 * height * width * depth,
            3 * height * width * planes,
            vectors,
        ),
        _Part("AffineTransform_float_3_3", [0.0, 0.0, 0.0], len(matrix), len(matrix), lambda _: matrix),
    ]
    with atomic_path(path) as temporary:
        _write_hdf5(temporary, parts if field_last else parts[::-1])  # ITK applies the last one first


def itk_transform(transform: WorldTransform, corners_mm: Tensor, *, field_last: bool = False) -> itk.CompositeTransform:
    """Convert to an ITK transform of LPS mm: an affine after a displacement field, or before it.

    The field stays on the network grid, without resampling, and is padded by whole voxels to cover the scan: outside a
    field, ITK's displacement is zero, `WorldTransform`'s the border value.

    Args:
        transform: its grid that carries the field must have perpendicular axes: `grid_to_fixed`, or `grid_to_moving`.
        corners_mm: (N, 3), RAS mm, of the scan whose points are mapped.
        field_last: for an inverse, whose field lies in the world it leads to.
    """
    affine, field = _parts(transform, corners_mm, field_last=field_last)
    whole_mm = field.planes(0, field.shape[2])
    parts = [displacement_transform(whole_mm, field.affine, itk.D), affine_transform(affine, itk.D)]
    composite = itk.CompositeTransform[itk.D, 3].New()
    for part in parts if field_last else reversed(parts):
        composite.AddTransform(part)  # ITK applies the last one first
    return composite


class _Field(NamedTuple):
    """A ddf (3, H, W, D) on a grid of perpendicular axes, continued by its border values.

    before, after: voxels by which each axis is continued; grid: (4, 4), voxels of the ddf to RAS mm.
    """

    ddf_vox: Tensor
    grid: Tensor
    before: list[int]
    after: list[int]

    @property
    def shape(self) -> list[int]:
        sides = zip(self.before, self.ddf_vox.shape[1:], self.after, strict=True)
        return [low + side + high for low, side, high in sides]

    @property
    def affine(self) -> Tensor:
        """(4, 4), voxels of the continued grid to RAS mm."""
        return pad_affine(self.grid, self.before)

    def planes(self, first: int, last: int) -> Tensor:
        """Vectors (3, h, w, d), RAS mm, of some planes of the continued grid along its last axis."""
        part = self.ddf_vox
        for axis, ends in ((2, slice(first, last)), (1, slice(None)), (0, slice(None))):
            side = self.ddf_vox.shape[axis + 1]
            places = torch.arange(-self.before[axis], side + self.after[axis])[ends].clamp(0, side - 1)
            part = part.index_select(axis + 1, places)
        return torch.einsum("ab,bhwd->ahwd", self.grid[:3, :3].to(part), part)


def _parts(transform: WorldTransform, corners_mm: Tensor, *, field_last: bool) -> tuple[Tensor, _Field]:
    """The affine (4, 4), RAS mm, and the field of `itk_transform`."""
    start, end = transform.grid_to_fixed.double().cpu(), transform.grid_to_moving.double().cpu()
    affine = end @ torch.linalg.inv(start)
    grid, reached_mm = (end, apply_affine(affine, corners_mm.double())) if field_last else (start, corners_mm)
    ddf_vox = transform.ddf_vox[0].cpu()
    return affine, _Field(ddf_vox, grid, *padding_vox(ddf_vox.shape[1:], grid, reached_mm))


class _Part(NamedTuple):
    """One transform of an ITK file: type, fixed parameters, and `size` float32 parameters.

    values: some of them, by their number: `chunk` each, or fewer at the end.
    """

    kind: str
    fixed: Sequence[float]
    size: int
    chunk: int
    values: Callable[[int], np.ndarray]


def _write_hdf5(path: Path, parts: Sequence[_Part]) -> None:
    """Write the file that ITK's HDF5TransformIO reads; chunks are computed and deflated side by side."""
    import h5py  # takes a moment, and only writing needs it

    def text(group: h5py.Group, name: str, value: str) -> None:
        group.create_dataset(name, data=[value], dtype=h5py.string_dtype("ascii"))

    with h5py.File(path, "w") as file, ThreadPoolExecutor(torch.get_num_threads()) as pool:
        text(file, "HDFVersion", h5py.version.hdf5_version)
        text(file, "TransformGroup/0/TransformType", "CompositeTransform_float_3_3")
        for number, part in enumerate(parts, 1):
            group = file.create_group(f"TransformGroup/{number}")
            text(group, "TransformType", part.kind)
            group["TransformFixedParameters"] = np.array(part.fixed, dtype=np.float64)
            filters = {"chunks": (part.chunk,), "shuffle": True, "compression": "gzip", "compression_opts": 1}
            stored = group.create_dataset("TransformParameters", (part.size,), "<f4", **filters)
            packed = pool.map(partial(_packed, part), range(math.ceil(part.size / part.chunk)))
            for place, values in enumerate(packed):
                stored.id.write_direct_chunk((place * part.chunk,), values)


def _packed(part: _Part, number: int) -> bytes:
    """A chunk as HDF5's filters shuffle and deflate it; the last one of a data set is filled up."""
    values = part.values(number)
    filled = np.pad(values, (0, part.chunk - values.size))
    return isal_zlib.compress(np.ascontiguousarray(filled.view(np.uint8).reshape(part.chunk, 4).T), DEFLATE_LEVEL)
