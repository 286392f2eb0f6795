"""What a registration of two DICOM series leaves in its folder as DICOM."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from bundle.geometry import WorldTransform
from bundle.io.dicom_objects.derived_series import contributing_slices, write_derived_series
from bundle.io.dicom_objects.source import Source
from bundle.io.dicom_objects.spatial_registration import write_spatial_registration
from bundle.io.field_transform import padding_vox

DICOM_RESULTS = ("warped_dicom", "registration.dcm")  # a folder and a file


def registration_field(transform: WorldTransform, corners_mm: Tensor) -> tuple[Tensor, Tensor]:
    """The displacement (3, h, w, d) of a transform, RAS mm, on its own grid, and that grid (4, 4), voxels to RAS mm.

    The transform is linear between the voxels of that grid, so trilinear interpolation of the displacement repeats it
    everywhere; on the grid of the fixed scan, whose slices are further apart, it would not.

    Args:
        corners_mm: (N, 3), RAS mm, of the fixed scan; the grid is continued by whole voxels to cover it.
    """
    affine, sides = transform.grid_to_fixed.double().cpu().clone(), transform.ddf_vox.shape[2:]
    before, after = padding_vox(sides, affine, corners_mm)
    affine[:3, 3] -= affine[:3, :3] @ torch.tensor(before, dtype=affine.dtype)
    height, width, depth = (sum(parts) for parts in zip(before, sides, after, strict=True))
    return transform.displacement_mm((height, width, depth), affine).cpu(), affine


def write_dicom_results(
    folder: Path,
    warped_hu: np.ndarray,
    displacement_mm: np.ndarray,
    field_mm: np.ndarray,
    field_affine: np.ndarray,
    fixed: Source,
    moving: Source,
) -> None:
    """Write `warped_dicom/`, the warped scan as a series, and `registration.dcm`, the transform; replaces earlier ones.

    Args:
        folder: existing.
        warped_hu: (H, W, D) on the fixed grid.
        displacement_mm: (3, H, W, D), RAS, on the fixed grid; tells which moving slices a fixed slice is made of.
        field_mm, field_affine: the transform, see `registration_field`.
        fixed, moving: the series that were registered.
    """
    affines = fixed.affine.numpy(), moving.affine.numpy()
    slices = contributing_slices(displacement_mm, *affines, num_moving=len(moving.slices))
    series, registration = (folder / name for name in DICOM_RESULTS)
    shutil.rmtree(series, ignore_errors=True)
    series.mkdir()
    write_derived_series(series, warped_hu, fixed.slices, moving.slices, slices)
    write_spatial_registration(registration, field_mm, field_affine, fixed.slices, moving.slices)
