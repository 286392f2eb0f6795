"""The displacement field as a DICOM Deformable Spatial Registration object (PS3.3, C.20.3), written and read.

The object maps a point of the registered frame of reference, its own (the fixed scan's), to the source frame (the
moving scan's): source = Post (Pre x + d(x)). The vectors d, LPS mm, lie at the voxel centres of a grid of points x, not
of points Pre x; both matrices are optional. This is the direction of ITK's transforms, which resample the moving scan;
a rigid Spatial Registration object (C.20.2) has the other one.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import itk
import numpy as np
import torch
from pydicom import Dataset
from pydicom.sr.codedict import codes
from pydicom.uid import DeformableSpatialRegistrationStorage
from pydicom.valuerep import DSfloat
from torch import Tensor

from bundle.formats import check_geometry
from bundle.geometry import swap_ras_lps, swap_ras_lps_affine
from bundle.io.atomic import atomic_path
from bundle.io.dicom_objects.instance import coded, identify, new_series, refer, references
from bundle.io.dicom_objects.read_object import read_object
from bundle.io.field_transform import affine_transform, split_transform
from bundle.io.headers import affine_from_itk, itk_from_affine

SERIES_NUMBER = 9002
VECTOR_BYTES = 12  # three float32
MIN_VOLUME_FACTOR = 1e-3  # of a matrix; below it, it is singular for any pair of scans
MATRICES = ("PreDeformationMatrixRegistrationSequence", "PostDeformationMatrixRegistrationSequence")


def write_spatial_registration(
    path: Path, displacement_mm: np.ndarray, affine: np.ndarray, fixed: Sequence[Dataset], moving: Sequence[Dataset]
) -> None:
    """Write the field that maps points of the fixed (registered) to the moving (source) frame of reference.

    The two optional matrices are not used: source = registered + vector.

    Args:
        displacement_mm: (3, H, W, D), RAS, on a grid of the fixed world.
        affine: (4, 4), voxels of that grid to RAS mm; axes perpendicular.
        fixed, moving: slices of both series, ordered by position.
    """
    registration = new_series(
        fixed[0], modality="REG", number=SERIES_NUMBER, description="Deformable registration, fixed to moving"
    )
    identify(registration, sop_class=DeformableSpatialRegistrationStorage, number=1)
    registration.ContentLabel = "DEFORMABLE"
    registration.ContentDescription = "Displacement of the fixed scan's points to the moving scan's"
    registration.ContentCreatorName = ""
    refer(registration, [*fixed, *moving])
    item = Dataset()
    item.SourceFrameOfReferenceUID = moving[0].FrameOfReferenceUID
    item.ReferencedImageSequence = references(moving)
    item.RegistrationTypeCodeSequence = coded(codes.DCM.ImageContentBasedAlignment)
    item.DeformableRegistrationGridSequence = [_grid(displacement_mm, affine)]
    registration.DeformableRegistrationSequence = [item]
    with atomic_path(path) as temporary:
        registration.save_as(temporary, enforce_file_format=True)


def _grid(displacement_mm: np.ndarray, affine: np.ndarray) -> Dataset:
    """Vectors, x fastest, and their grid, whose third axis DICOM takes as the cross product of the first two."""
    if np.linalg.det(affine[:3, :3]) < 0:
        last = displacement_mm.shape[3] - 1
        affine = affine @ np.array([[1, 0, 0, 0], [0, 1, 0, 0], [0, 0, -1, last], [0, 0, 0, 1]])
        displacement_mm = displacement_mm[..., ::-1]
    spacing, direction, origin = itk_from_affine(torch.from_numpy(np.array(affine, np.float64)))
    grid = Dataset()
    grid.ImagePositionPatient = [DSfloat(value, auto_format=True) for value in origin]
    grid.ImageOrientationPatient = [DSfloat(float(value), auto_format=True) for value in direction[:, :2].T.ravel()]
    grid.GridDimensions = list(displacement_mm.shape[1:])
    grid.GridResolution = spacing
    vectors = displacement_mm.transpose(3, 2, 1, 0) * np.array([-1.0, -1.0, 1.0], dtype=np.float32)  # to LPS
    grid.VectorGridData = vectors.astype("<f4").tobytes()
    return grid


def read_spatial_registration(path: str | Path) -> itk.Transform:
    """Read a Deformable Spatial Registration object: points of its own (fixed) frame to the source's (moving), LPS mm.

    Returns: a composite of an affine and a displacement field, continued outside as in `split_transform`.
    Raises: ValueError for another object, several grids, a damaged grid, undefined (NaN) vectors, a singular matrix.
    """
    registration = read_object(path, DeformableSpatialRegistrationStorage)
    all_items = registration.get("DeformableRegistrationSequence") or []
    items = [item for item in all_items if item.get("DeformableRegistrationGridSequence")]
    if len(items) != 1:  # one without a grid is that of the registered frame itself, or linear
        raise ValueError(f"{path}: expected one deformation grid, found {len(items)} in {len(all_items)} registrations")
    is_little = registration.file_meta.TransferSyntaxUID.is_little_endian
    vectors, affine = _read_grid(path, items[0].DeformableRegistrationGridSequence[0], "<f4" if is_little else ">f4")
    before, after = (_matrix(path, items[0], name) for name in MATRICES)
    shifts = torch.einsum("ab,bhwd->ahwd", torch.linalg.inv(before[:3, :3]).float(), vectors)
    transform = itk.CompositeTransform[itk.D, 3].New()  # ITK applies the last one first
    transform.AddTransform(affine_transform(after @ before, itk.D))  # Post (Pre x + d) = Post Pre (x + Pre^-1 d)
    split = split_transform(shifts, affine)
    for number in range(split.GetNumberOfTransforms()):
        transform.AddTransform(itk.down_cast(split.GetNthTransform(number)))
    return transform


def _read_grid(path: str | Path, grid: Dataset, dtype: str) -> tuple[Tensor, Tensor]:
    """Vectors (3, H, W, D), RAS mm, and affine (4, 4), voxels to RAS mm."""
    try:
        shape = [int(size) for size in grid.GridDimensions]
        spacing = [float(size) for size in grid.GridResolution]
        origin = [float(value) for value in grid.ImagePositionPatient]
        row, column = np.array(grid.ImageOrientationPatient, float).reshape(2, 3)
        data = grid.VectorGridData
    except (AttributeError, ValueError, TypeError) as error:
        raise ValueError(f"{path}: incomplete deformation grid: {error}") from error
    if len(shape) != 3 or min(shape) < 2 or len(data) != VECTOR_BYTES * np.prod(shape):
        expected = VECTOR_BYTES * int(np.prod(shape))
        raise ValueError(f"{path}: expected {expected} bytes of vectors for a grid of {shape}, found {len(data)}")
    direction = np.column_stack([row, column, np.cross(row, column)])
    check_geometry(str(path), np.array(spacing), direction)
    vectors = torch.from_numpy(np.frombuffer(data, dtype).astype(np.float32).reshape(*shape[::-1], 3))
    undefined = int((~torch.isfinite(vectors)).any(dim=-1).sum())  # NaN: no correspondence is known there
    if undefined:
        raise ValueError(
            f"{path}: expected a vector at every point of the grid, found {undefined} undefined ones (NaN)"
        )
    return swap_ras_lps(vectors).permute(3, 2, 1, 0).contiguous(), affine_from_itk(spacing, direction, origin)


def _matrix(path: str | Path, item: Dataset, name: str) -> Tensor:
    """A matrix (4, 4) float64, RAS mm, applied before or after the deformation; the identity if there is none."""
    matrices = item.get(name)
    if not matrices:
        return torch.eye(4, dtype=torch.float64)
    values = [float(value) for value in matrices[0].get("FrameOfReferenceTransformationMatrix") or []]
    matrix = torch.tensor(values if len(values) == 16 else [0.0] * 16, dtype=torch.float64).view(4, 4)
    if matrix[3].tolist() != [0, 0, 0, 1] or not torch.linalg.det(matrix).abs() > MIN_VOLUME_FACTOR:
        raise ValueError(f"{path}: {name}: expected an invertible 4 x 4 matrix ending in 0 0 0 1, found {values}")
    return swap_ras_lps_affine(matrix)
