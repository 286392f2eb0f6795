"""Grids, smooth fields and their SimpleITK counterparts: independent references for the geometry tests."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import SimpleITK as sitk
import torch
import torch.nn.functional as F
from scipy.spatial.transform import Rotation
from torch import Tensor

from bundle.geometry import WorldTransform, apply_affine

NETWORK_SHAPE, FIXED_SHAPE, MOVING_SHAPE = (12, 15, 10), (11, 8, 9), (9, 14, 13)  # of `make_case`
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
    """Affine (4, 4) float64, RAS mm, of a grid centred at `centre_mm`."""
    affine = rotation(*angles_deg)
    affine[:3, :3] = affine[:3, :3] * torch.tensor(flip) * torch.tensor(spacing_mm, dtype=torch.float64)
    affine[:3, 3] = torch.tensor(centre_mm) - affine[:3, :3] @ ((torch.tensor(shape, dtype=torch.float64) - 1) / 2)
    return affine


def voxel_centres_mm(shape: tuple[int, int, int], affine: Tensor) -> Tensor:
    """World position (H * W * D, 3) float64 of every voxel, last axis fastest."""
    vox = torch.cartesian_prod(*[torch.arange(size, dtype=torch.float64) for size in shape])
    return vox @ affine[:3, :3].T + affine[:3, 3]


def waves_vox(shape: tuple[int, int, int], *, amplitude_vox: float, periods: float = 1.0, phase: float = 0.4) -> Tensor:
    """Smooth field (1, 3, H, W, D): sinusoidal components, non-zero at the border."""
    axes = [torch.linspace(0, 2 * torch.pi * periods, size, dtype=torch.float64) for size in shape]
    x, y, z = torch.meshgrid(*axes, indexing="ij")
    parts = [torch.sin(x + phase) * torch.cos(y), torch.cos(y - phase) * torch.sin(z), torch.sin(z + x / 2 + phase)]
    return (amplitude_vox * torch.stack(parts))[None].float()


def to_sitk(values: Tensor, affine: Tensor) -> sitk.Image:
    """Convert a volume (H, W, D) or RAS vectors (3, H, W, D) to a SimpleITK image (vectors in LPS), float64."""
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
    """Convert a SimpleITK image to voxels (H, W, D) float64."""
    return torch.from_numpy(sitk.GetArrayFromImage(image).astype(np.float64).transpose(2, 1, 0).copy())


def affine_to_sitk(affine: Tensor) -> sitk.AffineTransform:
    """Convert a world affine (4, 4), RAS mm, to a SimpleITK transform, LPS mm."""
    transform = sitk.AffineTransform(3)
    transform.SetMatrix((LPS @ affine[:3, :3].double().numpy() @ LPS).ravel().tolist())
    transform.SetTranslation((LPS @ affine[:3, 3].double().numpy()).tolist())
    return transform


def steepness(scan: sitk.Image, fixed: sitk.Image, transform: sitk.Transform) -> Tensor:
    """The most by which a scan that is warped linearly to `fixed` changes per mm of another transform: (H, W, D)."""
    volume = from_sitk(scan)
    squares = torch.zeros_like(volume)
    for axis, spacing_mm in enumerate(scan.GetSpacing()):
        change = volume.diff(dim=axis, append=volume.narrow(axis, -1, 1)).abs() / spacing_mm
        squares += F.max_pool3d(change[None], 5, stride=1, padding=2)[0] ** 2  # of the cells around a voxel
    image = sitk.GetImageFromArray(squares.sqrt().permute(2, 1, 0).numpy())
    image.CopyInformation(scan)
    return from_sitk(sitk.Resample(image, fixed, transform, sitk.sitkNearestNeighbor, 0.0, sitk.sitkFloat64))


class Case(NamedTuple):
    """A transform, its fixed and moving grid, and the equivalent SimpleITK transform (LPS mm)."""

    transform: WorldTransform
    fixed_affine: Tensor
    moving_affine: Tensor
    reference: sitk.Transform


def make_case(flip: tuple[int, int, int] = (1, 1, 1)) -> Case:
    """A large transform between oblique, partly overlapping grids."""
    centre_mm = (-12.0, 85.0, -1340.0)
    network_affine = make_affine(NETWORK_SHAPE, (9.0, 7.5, 11.0), angles_deg=(25, -10, 40), centre_mm=centre_mm)
    initial = rotation(4, 7, -3)
    initial[:3, :3] *= torch.tensor([1.08, 0.95, 1.03])  # scaling, then rotation
    initial[:3, 3] = torch.tensor([18.0, -7.0, 1380.0])
    transform = WorldTransform(waves_vox(NETWORK_SHAPE, amplitude_vox=1.6), network_affine, initial @ network_affine)
    moving_centre_mm = tuple(apply_affine(initial, torch.tensor([centre_mm], dtype=torch.float64))[0].tolist())

    field_mm = torch.einsum("ab,bhwd->ahwd", network_affine[:3, :3], transform.ddf_vox[0].double())
    reference = sitk.CompositeTransform(3)  # the transform added last is applied first
    reference.AddTransform(affine_to_sitk(initial))
    reference.AddTransform(sitk.DisplacementFieldTransform(to_sitk(field_mm, network_affine)))
    return Case(
        transform,
        make_affine(FIXED_SHAPE, (4.0, 5.5, 3.0), angles_deg=(-15, 30, 5), flip=flip, centre_mm=centre_mm),
        make_affine(MOVING_SHAPE, (6.0, 3.5, 2.5), angles_deg=(10, 0, -20), flip=flip, centre_mm=moving_centre_mm),
        reference,
    )
