"""Grids, smooth fields and SimpleITK's view of them: the independent answers of the geometry tests."""

from __future__ import annotations

import numpy as np
import SimpleITK as sitk
import torch
from scipy.spatial.transform import Rotation
from torch import Tensor

LPS = np.diag([-1.0, -1.0, 1.0])  # RAS mm to LPS mm


def rotation(*angles_deg: float) -> Tensor:
    """Rotation (4, 4) float64 about the x, y and z axes of the world."""
    matrix = torch.eye(4, dtype=torch.float64)
    matrix[:3, :3] = torch.from_numpy(Rotation.from_euler("xyz", angles_deg, degrees=True).as_matrix())
    return matrix


def make_affine(
    shape: tuple[int, int, int],
    spacing_mm: tuple[float, float, float],
    *,
    angles_deg: tuple[float, float, float] = (0.0, 0.0, 0.0),
    flip: tuple[int, int, int] = (1, 1, 1),
    centre_mm: tuple[float, float, float] = (0.0, 0.0, 0.0),
) -> Tensor:
    """Affine (4, 4) float64, RAS mm, of a grid whose middle lies at `centre_mm`."""
    affine = rotation(*angles_deg)
    affine[:3, :3] = affine[:3, :3] * torch.tensor(flip) * torch.tensor(spacing_mm, dtype=torch.float64)
    affine[:3, 3] = torch.tensor(centre_mm) - affine[:3, :3] @ ((torch.tensor(shape, dtype=torch.float64) - 1) / 2)
    return affine


def voxel_centres_mm(shape: tuple[int, int, int], affine: Tensor) -> Tensor:
    """World position (H * W * D, 3) float64 of every voxel, last axis fastest."""
    vox = torch.cartesian_prod(*[torch.arange(size, dtype=torch.float64) for size in shape])
    return vox @ affine[:3, :3].T + affine[:3, 3]


def waves_vox(shape: tuple[int, int, int], *, amplitude_vox: float, periods: float = 1.0, phase: float = 0.4) -> Tensor:
    """Smooth field (1, 3, H, W, D): each component a product of sines that are not zero at the border."""
    axes = [torch.linspace(0, 2 * torch.pi * periods, size, dtype=torch.float64) for size in shape]
    x, y, z = torch.meshgrid(*axes, indexing="ij")
    parts = [torch.sin(x + phase) * torch.cos(y), torch.cos(y - phase) * torch.sin(z), torch.sin(z + x / 2 + phase)]
    return (amplitude_vox * torch.stack(parts))[None].float()


def to_sitk(values: Tensor, affine: Tensor) -> sitk.Image:
    """A volume (H, W, D), or RAS vectors (3, H, W, D), as a SimpleITK image (vectors in LPS), float64."""
    array = values.double().cpu().numpy()
    array = np.einsum("ab,bhwd->dwha", LPS, array) if array.ndim == 4 else array.transpose(2, 1, 0)
    image = sitk.GetImageFromArray(np.ascontiguousarray(array), isVector=array.ndim == 4)
    columns = LPS @ affine[:3, :3].double().numpy()
    spacing = np.linalg.norm(columns, axis=0)
    image.SetSpacing(spacing.tolist())
    image.SetDirection((columns / spacing).ravel().tolist())
    image.SetOrigin((LPS @ affine[:3, 3].double().numpy()).tolist())
    return image


def from_sitk(image: sitk.Image) -> Tensor:
    """Voxels (H, W, D) float64."""
    return torch.from_numpy(sitk.GetArrayFromImage(image).astype(np.float64).transpose(2, 1, 0).copy())


def affine_to_sitk(affine: Tensor) -> sitk.AffineTransform:
    """A world affine (4, 4), RAS mm, as SimpleITK's transform, LPS mm."""
    transform = sitk.AffineTransform(3)
    transform.SetMatrix((LPS @ affine[:3, :3].double().numpy() @ LPS).ravel().tolist())
    transform.SetTranslation((LPS @ affine[:3, 3].double().numpy()).tolist())
    return transform
