"""The displacement field as a DICOM Deformable Spatial Registration object."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from pydicom import Dataset
from pydicom.sr.codedict import codes
from pydicom.uid import DeformableSpatialRegistrationStorage

from bundle.hosts.deploy.instance import coded, identify, new_series, refer, references
from bundle.io import atomic_path

SERIES_NUMBER = 9002
RAS_TO_LPS = np.array([-1.0, -1.0, 1.0], dtype=np.float32)


def write_spatial_registration(
    path: Path, displacement_mm: np.ndarray, affine: np.ndarray, fixed: Sequence[Dataset], moving: Sequence[Dataset]
) -> None:
    """Write the field that maps points of the fixed (registered) to the moving (source) frame of reference.

    DICOM PS3.3 C.20.3: source = registered + vector, with vectors in LPS mm at the voxel centres of a grid; the two
    optional matrices are not used.

    Args:
        displacement_mm: (3, H, W, D), RAS, on the fixed grid.
        affine: (4, 4), voxels of that grid to RAS mm.
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
    item.DeformableRegistrationGridSequence = [_grid(displacement_mm, affine, fixed[0])]
    registration.DeformableRegistrationSequence = [item]
    with atomic_path(path) as temporary:
        registration.save_as(temporary, enforce_file_format=True)


def _grid(displacement_mm: np.ndarray, affine: np.ndarray, first: Dataset) -> Dataset:
    """Vectors, x fastest, and their grid: that of the fixed scan, with origin in its `first` slice."""
    grid = Dataset()
    grid.ImagePositionPatient = first.ImagePositionPatient
    grid.ImageOrientationPatient = first.ImageOrientationPatient
    grid.GridDimensions = list(displacement_mm.shape[1:])
    grid.GridResolution = np.linalg.norm(affine[:3, :3], axis=0).tolist()
    vectors = displacement_mm.transpose(3, 2, 1, 0) * RAS_TO_LPS
    grid.VectorGridData = vectors.astype("<f4").tobytes()
    return grid
