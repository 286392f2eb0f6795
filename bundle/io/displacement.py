"""Read and write displacement fields in the convention of ITK, SimpleITK, ANTs, elastix and 3D Slicer.

Files hold vectors u(x) in LPS mm on the grid of the scan that contains x; x + u(x) lies in the other scan. NIfTI is 5-D
with intent 1007 (vector), which ITK reads unchanged; it converts intent 1006 (displacement) from RAS to LPS.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import itk
import nibabel as nib
import numpy as np
import torch
from torch import Tensor

from bundle.formats import check_image_file, itk_scale
from bundle.geometry import swap_ras_lps
from bundle.io.atomic import atomic_path
from bundle.io.headers import affine_from_itk, set_itk_grid
from bundle.io.nifti import save_nifti

PRECISION_MM = 2.0**-7  # vectors are rounded to it, by 0.004 mm at most: less than half the size of unrounded ones
SUFFIXES = (".nii", ".nii.gz", ".mha", ".nrrd")


def write_displacement(path: str | Path, displacement_mm: Tensor, affine: Tensor) -> None:
    """Write a displacement (3, H, W, D), RAS mm, on the grid of `affine` (4, 4), voxels to RAS mm, atomically.

    The suffix (.nii, .nii.gz, .mha, .nrrd) selects the format. Stored as float32, rounded to `PRECISION_MM`.
    Raises: ValueError for another suffix or shape.
    """
    if not str(path).endswith(SUFFIXES):
        raise ValueError(f"{path}: expected a name ending in one of {', '.join(SUFFIXES)}")
    if displacement_mm.ndim != 4 or displacement_mm.shape[0] != 3:
        raise ValueError(f"{path}: expected a displacement (3, H, W, D), got {tuple(displacement_mm.shape)}")
    vectors = displacement_mm.detach().cpu().float() / PRECISION_MM
    vectors = vectors.round_().mul_(PRECISION_MM * torch.tensor([-1.0, -1.0, 1.0]).view(3, 1, 1, 1))
    if str(path).endswith((".nii", ".nii.gz")):
        nifti = nib.Nifti1Image(vectors.numpy().transpose(1, 2, 3, 0)[:, :, :, None], affine.double().numpy())
        nifti.header.set_intent("vector")
        save_nifti(path, nifti)
        return
    image = itk.image_from_array(np.ascontiguousarray(vectors.numpy().transpose(3, 2, 1, 0)), is_vector=True)
    set_itk_grid(image, affine)
    with atomic_path(path) as temporary:
        itk.imwrite(image, str(temporary), compression=True)


def read_displacement(path: str | Path) -> tuple[Tensor, Tensor]:
    """Read a displacement field: vectors (3, H, W, D) float32, RAS mm, and affine (4, 4), voxels to RAS mm.

    Raises: FileNotFoundError; ValueError if the file is not a 3-D image of 3-vectors.
    """
    if not Path(path).is_file():
        raise FileNotFoundError(f"{path}: no such displacement field")
    check_image_file(path, components=3)
    try:
        image = itk.imread(str(path), itk.Vector[itk.F, 3])  # of any component type
    except RuntimeError as error:
        raise ValueError(f"{path}: cannot be read as a displacement field: {error}") from error
    shape = itk.array_view_from_image(image).shape
    if len(shape) != 4 or shape[3] != 3 or image.GetNumberOfComponentsPerPixel() != 3:
        raise ValueError(f"{path}: expected a 3-D image of 3-vectors, got an array {shape[::-1]}")
    displacement_mm, affine = displacement_from_itk(image)
    voxels: Any = displacement_mm
    if str(path).endswith((".nii", ".nii.gz")):  # ITK's niftilib replaces NaN by 0
        stored: Any = nib.load(path)
        voxels = np.asarray(stored.dataobj)
    if not np.isfinite(voxels).all():
        raise ValueError(f"{path}: expected finite vectors, got NaN or infinite ones")
    scale = itk_scale(path)
    affine[:3] *= scale
    return displacement_mm * scale, affine


def displacement_from_itk(image: itk.Image) -> tuple[Tensor, Tensor]:
    """Vectors (3, H, W, D) float32, RAS mm, and affine (4, 4), voxels to RAS mm, of an ITK image of LPS vectors."""
    vectors = itk.array_from_image(image)
    direction = itk.array_from_matrix(image.GetDirection())
    affine = affine_from_itk(list(image.GetSpacing()), direction, list(image.GetOrigin()))
    displacement = swap_ras_lps(torch.from_numpy(vectors.astype(np.float32, copy=False)))
    return displacement.permute(3, 2, 1, 0).contiguous(), affine
