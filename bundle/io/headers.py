"""Read and check the grid of an image file before its voxels are read."""

from __future__ import annotations

import logging
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import itk
import nibabel as nib
import numpy as np
import torch
from monai.data import MetaTensor
from torch import Tensor

from bundle.geometry import apply_affine, spacing_mm, swap_ras_lps
from bundle.io.dicom import series_files, series_geometry
from bundle.io.truncation import check_complete

log = logging.getLogger(__name__)

ORTHONORMAL_TOLERANCE = 1e-3  # of cosines: above the rounding of float32 headers, below a gantry tilt of 0.1 degrees
SAME_SPACING = 1e-2  # relative; pixdim and sform are often rounded differently
SAME_FORM_MM = 0.1
SAME_GRID_MM = 1e-3  # largest distance between the corners of equal grids
RGB_DATATYPES = (128, 2304)  # NIfTI RGB24 and RGBA32
FORMATS = "NIfTI, MHA/MHD, NRRD or a folder with one DICOM series"


@dataclass(frozen=True)
class ImageHeader:
    """Grid of an image file: shape (H, W, D) and affine (4, 4), float64, voxels to RAS mm."""

    path: str
    shape: tuple[int, int, int]
    affine: Tensor

    @classmethod
    def of(cls, image: MetaTensor) -> ImageHeader:
        """Header of a loaded image (1, H, W, D)."""
        height, width, depth = image.shape[1:]
        path = str(image.meta.get("filename_or_obj", "image"))
        return cls(path, (height, width, depth), torch.as_tensor(image.affine, dtype=torch.float64))

    @property
    def spacing_mm(self) -> tuple[float, float, float]:
        x, y, z = spacing_mm(self.affine).tolist()
        return (x, y, z)

    @property
    def corners_mm(self) -> Tensor:
        """World positions (8, 3), RAS mm, of the corner voxel centres."""
        ends = [torch.tensor([0, size - 1], dtype=torch.float64) for size in self.shape]
        return apply_affine(self.affine, torch.cartesian_prod(*ends))


def check_header(path: str | Path) -> ImageHeader:
    """Read and check the header of a scan: NIfTI, MHA/MHD, NRRD or the folder of a DICOM series.

    Raises:
        FileNotFoundError: no such file or folder, or no DICOM file in the folder.
        ValueError: unreadable or truncated file; not a single-channel 3-D volume; spacing not above 0; axes not
            perpendicular; several series or missing slices in a DICOM folder.
    """
    path = Path(path)
    if not path.exists():
        raise FileNotFoundError(f"{path}: no such file or folder (expected {FORMATS})")
    if path.is_dir():
        files = series_files(path)
        if len(files) > 1:
            size, spacing, direction, origin = series_geometry(path, files)
            return _header(path, size, spacing, direction, origin)
        return _check_file(path, Path(files[0]))
    return _check_file(path, path)


def check_mask(mask: ImageHeader, scan: ImageHeader) -> None:
    """Check that a mask is on the grid of its scan. Raises: ValueError naming both files and the difference."""
    if mask.shape != scan.shape:
        raise ValueError(f"{mask.path}: the mask has shape {mask.shape}, its scan {scan.path} has {scan.shape}")
    apart_mm = float((mask.corners_mm - scan.corners_mm).norm(dim=1).max())
    if apart_mm > SAME_GRID_MM:
        raise ValueError(
            f"{mask.path}: the mask lies on another grid than its scan {scan.path}: "
            f"corners up to {apart_mm:.3f} mm apart"
        )


def check_geometry(name: str, spacing: np.ndarray, direction: np.ndarray) -> None:
    """Check the spacing (3,), mm, and the direction cosines (3, 3), in columns, of a grid.

    Raises: ValueError naming the file if a spacing is not above 0 or the direction is not orthonormal.
    """
    if not (np.isfinite(spacing).all() and (spacing > 0).all()):
        raise ValueError(f"{name}: expected a spacing above 0 mm on every axis, got {_numbers(spacing)}")
    cosines = direction.T @ direction
    if not np.allclose(cosines, np.eye(3), atol=ORTHONORMAL_TOLERANCE):
        worst = float(np.nan_to_num(np.abs(cosines - np.eye(3)), nan=1.0).max())
        raise ValueError(
            f"{name}: the direction is not orthonormal (sheared or scaled axes, off by {worst:.3g}); "
            "resample the scan to a grid with perpendicular axes first"
        )


def _check_file(path: Path, file: Path) -> ImageHeader:
    if file.name.lower().endswith((".nii", ".nii.gz")):
        _check_nifti(path)
    image_io = itk.ImageIOFactory.CreateImageIO(str(file), itk.CommonEnums.IOFileMode_ReadMode)
    if image_io is None:
        raise ValueError(f"{path}: cannot be read as an image (expected {FORMATS})")
    image_io.SetFileName(str(file))
    try:
        image_io.ReadImageInformation()
    except RuntimeError as error:
        raise ValueError(f"{path}: unreadable header: {_reason(error)}") from error
    axes = range(image_io.GetNumberOfDimensions())
    _check_shape(path, [image_io.GetDimensions(axis) for axis in axes])
    if image_io.GetNumberOfComponents() != 1:
        raise ValueError(
            f"{path}: expected one value per voxel, got {image_io.GetNumberOfComponents()} (RGB or vectors)"
        )
    if file.suffix.lower() in (".mha", ".mhd", ".nrrd"):
        check_complete(path, image_io.GetImageSizeInBytes())
    return _header(
        path,
        [image_io.GetDimensions(axis) for axis in range(3)],
        [image_io.GetSpacing(axis) for axis in range(3)],
        np.array([image_io.GetDirection(axis)[:3] for axis in range(3)]).T,
        [image_io.GetOrigin(axis) for axis in range(3)],
    )


def _check_nifti(path: Path) -> None:
    """Check the header as stored: nibabel and ITK replace a bad pixdim or a sheared sform without an error."""
    try:
        kind: Any = nib.load(path).header_class
        with nib.openers.ImageOpener(str(path)) as file:
            header = kind.from_fileobj(file, check=False)
    except (nib.filebasedimages.ImageFileError, OSError, EOFError, ValueError) as error:
        raise ValueError(f"{path}: cannot be read as NIfTI (truncated or damaged?): {error}") from error
    twin = path.with_suffix("")
    if twin.suffix.lower() == ".nii" and twin.is_file():
        raise ValueError(f"{path}: ITK would read the voxels of {twin.name} beside it instead; rename or remove one")
    _check_shape(path, [int(size) for size in header["dim"][1 : int(header["dim"][0]) + 1]])
    if int(header["datatype"]) in RGB_DATATYPES:
        raise ValueError(f"{path}: expected one value per voxel, got RGB")
    pixdim = header["pixdim"][1:4].astype(np.float64)
    check_geometry(str(path), pixdim, np.eye(3))
    if header["sform_code"] > 0:
        columns = header.get_sform()[:3, :3]
        lengths = np.linalg.norm(columns, axis=0)
        check_geometry(f"{path} (sform)", lengths, columns / np.where(lengths > 0, lengths, 1))
        if not np.allclose(lengths, pixdim, rtol=SAME_SPACING):  # ITK uses one, nibabel the other
            raise ValueError(f"{path}: voxel size {_numbers(pixdim)} mm in pixdim but {_numbers(lengths)} mm in sform")
        if header["qform_code"] > 0 and not np.allclose(header.get_sform(), header.get_qform(), atol=SAME_FORM_MM):
            log.warning("%s: sform and qform differ; ITK's choice is used, as in 3D Slicer and ITK's tools", path)
    elif header["qform_code"] <= 0:
        log.warning("%s: neither qform nor sform is set: position and orientation are unknown", path)
    voxels = math.prod(header.get_data_shape()) * header.get_data_dtype().itemsize
    check_complete(path, voxels, offset_bytes=int(header["vox_offset"]))


def _check_shape(path: Path, shape: list[int]) -> None:
    if len(shape) < 3 or any(size > 1 for size in shape[3:]) or min(shape[:3]) < 2:
        raise ValueError(f"{path}: expected one 3-D volume, got an image of shape {tuple(shape)}")


def affine_from_itk(spacing: list[float], direction: np.ndarray, origin: list[float]) -> Tensor:
    """Affine (4, 4), voxels to RAS mm, of ITK's geometry (LPS mm, axes in the columns of `direction`)."""
    affine = torch.eye(4, dtype=torch.float64)
    affine[:3, :3] = torch.from_numpy(direction * np.asarray(spacing))
    affine[:3, 3] = torch.tensor(origin, dtype=torch.float64)
    affine[:3] = swap_ras_lps(affine[:3].T).T
    return affine


def itk_from_affine(affine: Tensor) -> tuple[list[float], np.ndarray, list[float]]:
    """ITK's spacing (3), direction (3, 3) and origin (3), LPS mm, of an affine (4, 4), voxels to RAS mm."""
    lps = swap_ras_lps(affine[:3].double().T).T
    spacing = spacing_mm(lps)
    return spacing.tolist(), (lps[:, :3] / spacing).numpy(), lps[:, 3].tolist()


def set_itk_grid(image: itk.Image, affine: Tensor) -> None:
    """Set the grid of an ITK image from an affine (4, 4), voxels to RAS mm."""
    spacing, direction, origin = itk_from_affine(affine)
    image.SetSpacing(spacing)
    image.SetDirection(itk.matrix_from_array(direction))
    image.SetOrigin(origin)


def _header(
    path: Path, size: list[int], spacing: list[float], direction: np.ndarray, origin: list[float]
) -> ImageHeader:
    check_geometry(str(path), np.asarray(spacing), direction)
    return ImageHeader(str(path), (size[0], size[1], size[2]), affine_from_itk(spacing, direction, origin))


def _numbers(values: np.ndarray) -> str:
    return "(" + ", ".join(f"{value:g}" for value in values) + ")"


def _reason(error: Exception) -> str:
    """Last line of ITK's message, which states the reason."""
    return str(error).strip().splitlines()[-1]
