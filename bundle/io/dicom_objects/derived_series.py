"""The warped scan as a CT series on the fixed scan's grid."""

from __future__ import annotations

from collections.abc import Sequence
from copy import deepcopy
from pathlib import Path

import numpy as np
from pydicom import Dataset
from pydicom.sr.codedict import codes
from pydicom.uid import CTImageStorage

from bundle.io.atomic import atomic_path
from bundle.io.dicom_objects.instance import carry, coded, identify, new_series, refer, references
from bundle.io.images import as_stored

SERIES_NUMBER = 9001
GEOMETRY = (
    "PatientPosition",
    "ImagePositionPatient",
    "ImageOrientationPatient",
    "PixelSpacing",
    "SliceThickness",
    "SpacingBetweenSlices",
    "SliceLocation",
)  # of the fixed slice
ACQUISITION = (
    "KVP",
    "AcquisitionNumber",
    "AcquisitionDate",
    "AcquisitionTime",
    "ContrastBolusAgent",
    "LossyImageCompression",
    "LossyImageCompressionRatio",
    "LossyImageCompressionMethod",
    "WindowCenter",
    "WindowWidth",
)  # of the moving scan, the source of the voxels


def write_derived_series(
    folder: Path, warped_hu: np.ndarray, fixed: Sequence[Dataset], moving: Sequence[Dataset], sources: Sequence[range]
) -> None:
    """Write one file per slice, HU as int16 with slope 1 and intercept 0.

    Args:
        folder: existing.
        warped_hu: (H, W, D) on the fixed scan's grid: columns, rows, slices of DICOM.
        fixed, moving: slices of both series, ordered by position.
        sources: range of moving slices sampled for each fixed slice, see `contributing_slices`.
    """
    stored = as_stored(warped_hu, np.int16).astype("<i2", copy=False)
    name = moving[0].get("SeriesDescription", "moving")
    series = new_series(fixed[0], modality="CT", number=SERIES_NUMBER, description=f"{name} (warped)")
    series.ImageType = ["DERIVED", "SECONDARY", "AXIAL"]
    series.DerivationDescription = "Warped onto the fixed scan by deformable registration; research use only"
    series.DerivationCodeSequence = coded(codes.DCM.DeformedForRegistration)
    series.KVP = series.AcquisitionNumber = series.SliceThickness = None
    carry(series, moving[0], ACQUISITION)
    series.SamplesPerPixel, series.PhotometricInterpretation = 1, "MONOCHROME2"
    series.BitsAllocated, series.BitsStored, series.HighBit, series.PixelRepresentation = 16, 16, 15, 1
    series.RescaleSlope, series.RescaleIntercept, series.RescaleType = 1, 0, "HU"
    series.Columns, series.Rows = stored.shape[:2]
    for index, (like, source) in enumerate(zip(fixed, sources, strict=True)):
        image = deepcopy(series)
        identify(image, sop_class=CTImageStorage, number=index + 1)
        carry(image, like, GEOMETRY)
        read_from = moving[source.start : source.stop]
        image.SourceImageSequence = references(read_from)
        for item in image.SourceImageSequence:
            item.PurposeOfReferenceCodeSequence = coded(codes.DCM.SourceImageForImageProcessingOperation)
        image.ReferencedImageSequence = references([like])
        refer(image, [like, *read_from])
        image.PixelData = np.ascontiguousarray(stored[:, :, index].T).tobytes()
        with atomic_path(folder / f"{index + 1:04d}.dcm") as path:
            image.save_as(path, enforce_file_format=True)


def contributing_slices(
    displacement_mm: np.ndarray, fixed_affine: np.ndarray, moving_affine: np.ndarray, num_moving: int
) -> list[range]:
    """Range of moving slices sampled by each fixed slice with linear interpolation; the nearest one outside the scan.

    Args:
        displacement_mm: (3, H, W, D), RAS, on the fixed grid.
        fixed_affine, moving_affine: (4, 4), voxels to RAS mm.
        num_moving: number of moving slices.
    """
    to_slice = np.linalg.inv(moving_affine)[2]
    step = to_slice @ fixed_affine  # moving slices per fixed voxel
    rows, columns = (np.arange(size) for size in displacement_mm.shape[1:3])
    plane = step[0] * rows[:, None] + step[1] * columns + step[3]
    ranges = []
    for index in range(displacement_mm.shape[3]):
        position = plane + step[2] * index + np.tensordot(to_slice[:3], displacement_mm[..., index], axes=1)
        # rounded, so that a position on a slice samples only that slice
        ends = [np.floor(position.min().round(3)), np.ceil(position.max().round(3))]
        first, last = np.clip(ends, 0, num_moving - 1).astype(int)
        ranges.append(range(first, last + 1))
    return ranges
