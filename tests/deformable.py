"""Independent reader of DICOM Deformable Spatial Registration objects (PS3.3, C.20.3.1.1)."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pydicom
import SimpleITK as sitk


def read_deformable(path: Path) -> sitk.Transform:
    """Read the transform from registered to source coordinates, LPS mm, of an object with a grid and no matrices."""
    (item,) = pydicom.dcmread(path).DeformableRegistrationSequence
    assert "PreDeformationMatrixRegistrationSequence" not in item
    assert "PostDeformationMatrixRegistrationSequence" not in item
    (grid,) = item.DeformableRegistrationGridSequence
    vectors = np.frombuffer(grid.VectorGridData, "<f4").reshape(*grid.GridDimensions[::-1], 3)
    row, column = np.array(grid.ImageOrientationPatient, float).reshape(2, 3)
    image = sitk.GetImageFromArray(vectors.astype(float), isVector=True)
    image.SetOrigin([float(value) for value in grid.ImagePositionPatient])
    image.SetSpacing([float(value) for value in grid.GridResolution])
    image.SetDirection(np.column_stack([row, column, np.cross(row, column)]).ravel())
    return sitk.DisplacementFieldTransform(image)
