"""RT Dose objects: read, and written for another grid."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from math import ceil, prod
from pathlib import Path

import numpy as np
import torch
from monai.data import MetaTensor
from pydicom import Dataset
from pydicom.tag import Tag
from pydicom.uid import RTDoseStorage
from pydicom.valuerep import DSfloat, format_number_as_ds

from bundle.formats import check_geometry
from bundle.io import ImageHeader, atomic_path, itk_from_affine
from bundle.io.dicom_objects import Source, carry, identify, new_series, read_object
from bundle.io.headers import affine_from_itk

log = logging.getLogger(__name__)

SERIES_NUMBER = 9004
UNITS = ("GY", "RELATIVE")
TYPES = ("PHYSICAL", "EFFECTIVE")  # not ERROR, a difference of doses
KEPT = (
    "DoseUnits",
    "DoseType",
    "DoseSummationType",
    "SpatialTransformOfDose",
    "TissueHeterogeneityCorrection",
    "ReferencedRTPlanSequence",
)
MAX_STORED = 2**32 - 1
MAX_VOXELS = 500_000_000  # of a carried dose, 2 GB: the finest voxels for the space of a scan are far larger
UNEVEN_MM = 0.01  # between the distances of frames


@dataclass(frozen=True)
class Dose:
    """A dose grid.

    Args:
        values: (1, H, W, D) float32 with its affine, Gy, or relative to a dose that the object does not name.
        data: the attributes of the object, without pixels.
    """

    path: str
    values: MetaTensor
    data: Dataset

    @property
    def kind(self) -> tuple[str, str, str]:
        """Units, type (physical or effective), and what was added up (plan, fraction, beam, ...)."""
        return tuple(str(self.data.get(key, "")) for key in KEPT[:3])  # type: ignore[return-value]  # three of them


def read_dose(path: str | Path) -> Dose:
    """Read an RT Dose object.

    Raises: FileNotFoundError; ValueError for another object, one without a grid (DVH or points only), of a single or
        unevenly spaced plane, of a difference of doses, or without a scale.
    """
    data = read_object(path, RTDoseStorage)
    if "PixelData" not in data:
        raise ValueError(f"{path}: expected a dose grid, found none (histograms or points only)")
    for keyword, expected in (("DoseUnits", UNITS), ("DoseType", TYPES)):
        if data.get(keyword) not in expected:
            raise ValueError(f"{path}: expected {keyword} {' or '.join(expected)}, found {data.get(keyword)!r}")
    scale = float(data.get("DoseGridScaling") or 0.0)
    if not scale > 0:
        raise ValueError(f"{path}: expected a DoseGridScaling above 0, found {data.get('DoseGridScaling')!r}")
    affine = _affine(path, data)
    try:
        stored = data.pixel_array
    except (ValueError, RuntimeError, AttributeError, NotImplementedError) as error:
        raise ValueError(f"{path}: the dose cannot be decoded, truncated or damaged? ({error})") from error
    if stored.min() < 0:
        raise ValueError(f"{path}: expected doses of at least 0, found {stored.min() * scale:g}")
    if data.get("DoseUnits") == "RELATIVE":
        log.warning("%s: a relative dose: its values are carried as they are, without the dose that is 1", path)
    if "DVHSequence" in data:
        log.warning("%s: its dose-volume histograms are not carried", path)
    values = torch.from_numpy(np.ascontiguousarray((stored * scale).astype(np.float32).transpose(2, 1, 0)))
    data.pop("PixelData")
    return Dose(str(path), MetaTensor(values[None], affine=affine), data)


def _affine(path: str | Path, data: Dataset) -> torch.Tensor:
    """Voxels (column, row, frame) to RAS mm (4, 4)."""
    try:
        rows, columns = (float(value) for value in data.PixelSpacing)
        row, column = np.array(data.ImageOrientationPatient, float).reshape(2, 3)
        origin = np.array(data.ImagePositionPatient, float)
        offsets = np.array(data.GridFrameOffsetVector, float).ravel()
    except (AttributeError, TypeError, ValueError) as error:
        raise ValueError(f"{path}: incomplete geometry of the dose grid: {error}") from error
    count = int(data.get("NumberOfFrames") or 1)
    if len(offsets) != count or count < 2:
        raise ValueError(f"{path}: expected a frame offset for each of several frames, got {len(offsets)} for {count}")
    steps = np.diff(offsets)
    if abs(steps[0]) < UNEVEN_MM or np.ptp(steps) > UNEVEN_MM:
        raise ValueError(f"{path}: expected evenly spaced frames, found steps of {steps.min():g} to {steps.max():g} mm")
    normal = np.cross(row, column)
    if abs(offsets[0]) > UNEVEN_MM:  # PS3.3 C.8.8.3.2: z coordinates, not distances from the first frame
        if abs(abs(normal[2]) - 1) > 1e-4 or abs(offsets[0] - origin[2]) > UNEVEN_MM:
            raise ValueError(
                f"{path}: GridFrameOffsetVector begins with {offsets[0]:g}, expected 0, or in axial planes the z "
                f"coordinate of the first frame, {origin[2]:g}"
            )
        normal = np.array([0.0, 0.0, 1.0])
    step = float(offsets[-1] - offsets[0]) / (count - 1)
    direction = np.column_stack([row, column, normal * np.sign(step)])
    check_geometry(str(path), np.array([columns, rows, abs(step)]), direction)
    return affine_from_itk([columns, rows, abs(step)], direction, origin.tolist())


def dose_grid(target: ImageHeader, size_mm: float | None = None) -> ImageHeader:
    """The grid of a carried dose: that of the target scan, or one of voxels of about `size_mm` over the same space.

    Raises: ValueError for more than `MAX_VOXELS` voxels.
    """
    if size_mm is None:
        return target
    counts = [max(2, ceil(count * size / size_mm)) for count, size in zip(target.shape, target.spacing_mm, strict=True)]
    if prod(counts) > MAX_VOXELS:
        raise ValueError(f"spacing_mm: expected at most {MAX_VOXELS:,} voxels, got {prod(counts):,} of {size_mm:g} mm")
    ratios = torch.tensor([old / new for old, new in zip(target.shape, counts, strict=True)], dtype=torch.float64)
    affine = target.affine.clone()
    affine[:3, :3] *= ratios
    affine[:3, 3] = target.affine[:3, 3] + target.affine[:3, :3] @ ((ratios - 1) / 2)  # the outer faces coincide
    return ImageHeader(target.path, (counts[0], counts[1], counts[2]), affine)


def write_dose(
    path: str | Path, values: np.ndarray, affine: torch.Tensor, like: Dose, target: Source, comment: str
) -> None:
    """Write a dose (H, W, D) as an RT Dose object in the frame of reference of a series, 32 bits a voxel.

    Args:
        affine: (4, 4), voxels to RAS mm; right-handed in LPS, as the grids of DICOM series are.
        like: lends units, type, summation type and plan.
        comment: for DoseComment, of at most 64 characters.
    """
    data = new_series(target.slices[0], modality="RTDOSE", number=SERIES_NUMBER, description="Dose (carried)")
    identify(data, sop_class=RTDoseStorage, number=1)
    data.OperatorsName = ""
    carry(data, like.data, KEPT)
    data.DoseComment = comment
    spacing, direction, origin = itk_from_affine(affine)
    data.ImagePositionPatient = [DSfloat(value, auto_format=True) for value in origin]
    data.ImageOrientationPatient = [DSfloat(float(value), auto_format=True) for value in direction[:, :2].T.ravel()]
    data.PixelSpacing = [DSfloat(value, auto_format=True) for value in (spacing[1], spacing[0])]
    data.SliceThickness = DSfloat(spacing[2], auto_format=True)
    data.GridFrameOffsetVector = [DSfloat(spacing[2] * frame, auto_format=True) for frame in range(values.shape[2])]
    data.FrameIncrementPointer = Tag("GridFrameOffsetVector")
    data.Columns, data.Rows, data.NumberOfFrames = values.shape
    data.SamplesPerPixel, data.PhotometricInterpretation = 1, "MONOCHROME2"
    data.BitsAllocated, data.BitsStored, data.HighBit, data.PixelRepresentation = 32, 32, 31, 0
    # a little more than the highest dose needs: the scale is rounded to 16 characters
    scale = format_number_as_ds(float(values.max()) / MAX_STORED * (1 + 1e-6)) if values.max() > 0 else "1"
    data.DoseGridScaling = scale
    stored = np.rint(values.transpose(2, 1, 0).astype(np.float64) / float(scale)).astype("<u4")
    data.PixelData = stored.tobytes()
    with atomic_path(path) as temporary:
        data.save_as(temporary, enforce_file_format=True)
