"""Read and check the grid of an image file before its voxels are read."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import itk
import numpy as np
import torch
from monai.data import MetaTensor
from torch import Tensor

from bundle.formats import check_geometry, check_image_file, check_shape, itk_scale
from bundle.formats.dicom import find_volume, is_dicom
from bundle.geometry import apply_affine, spacing_mm, swap_ras_lps

FORMATS = "NIfTI, MHA/MHD, NRRD or a DICOM folder"


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

    def contains(self, points_mm: Tensor, *, reach_vox: float = 0.5) -> Tensor:
        """Which points (N, 3), RAS mm, lie in the image, which reaches half a voxel beyond the outermost centres."""
        vox = apply_affine(torch.linalg.inv(self.affine.double()), points_mm.double())
        last = torch.tensor(self.shape, dtype=torch.float64) - 1
        return ((vox >= -reach_vox) & (vox <= last + reach_vox)).all(dim=1)


def check_header(path: str | Path, series: str | None = None, *, layers: bool = False) -> ImageHeader:
    """Read and check the header of a scan: NIfTI, MHA/MHD, NRRD or a DICOM folder.

    Args:
        series: series of a DICOM folder with several, see `bundle.formats.dicom.find_volume`.
        layers: allow several values per voxel.
    Raises:
        FileNotFoundError: no such file or folder, or no DICOM file in the folder.
        ValueError: unreadable or truncated file; not a single-channel 3-D volume; spacing not above 0; axes not
            perpendicular; several series or missing slices in a DICOM folder.
    """
    path = Path(path)
    if not path.exists():
        raise FileNotFoundError(f"{path}: no such file or folder (expected {FORMATS})")
    if path.is_dir() or is_dicom(path):
        return _header(path, *find_volume(path, series).grid)
    if series:
        raise ValueError(f"{path}: expected a DICOM folder to choose series {series!r} from, found a file")
    return _check_file(path, layers)


def _check_file(path: Path, layers: bool) -> ImageHeader:
    check_image_file(path)
    image_io = itk.ImageIOFactory.CreateImageIO(str(path), itk.CommonEnums.IOFileMode_ReadMode)
    if image_io is None:
        raise ValueError(f"{path}: cannot be read as an image (expected {FORMATS})")
    image_io.SetFileName(str(path))
    try:
        image_io.ReadImageInformation()
    except RuntimeError as error:
        raise ValueError(f"{path}: unreadable header: {_reason(error)}") from error
    axes = range(image_io.GetNumberOfDimensions())
    check_shape(path, [image_io.GetDimensions(axis) for axis in axes])
    if image_io.GetNumberOfComponents() != 1 and not layers:
        raise ValueError(
            f"{path}: expected one value per voxel, got {image_io.GetNumberOfComponents()} (RGB or vectors)"
        )
    scale = itk_scale(path)
    return _header(
        path,
        [image_io.GetDimensions(axis) for axis in range(3)],
        [image_io.GetSpacing(axis) * scale for axis in range(3)],
        np.array([image_io.GetDirection(axis)[:3] for axis in range(3)]).T,
        [image_io.GetOrigin(axis) * scale for axis in range(3)],
    )


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


def _reason(error: Exception) -> str:
    """Last line of ITK's message, which states the reason."""
    return str(error).strip().splitlines()[-1]
