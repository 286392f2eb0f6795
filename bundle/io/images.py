"""Read and write scans."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import itk
import nibabel as nib
import numpy as np
import torch
from monai.config import PathLike
from monai.data import ITKReader, MetaTensor
from monai.transforms import LoadImage, Orientation
from monai.utils import ensure_tuple
from torch import Tensor

from bundle.io.headers import check_geometry, check_header
from bundle.io.nifti import save_nifti


class ScanReader(ITKReader):
    """MONAI's ITKReader with conversion to float32, since Python ITK lacks int8, int64 and uint64 images.

    In configs: `LoadImaged(keys, reader="bundle.io.ScanReader", ensure_channel_first=True)`. LoadImage tries the next
    reader after an error, so checks are separate: `check_header` before reading, `CheckScand` after it.
    """

    def __init__(self) -> None:
        super().__init__(pixel_type=itk.F)

    def read(self, data: Sequence[PathLike] | PathLike, **kwargs: Any) -> itk.Image:
        """Read one file or folder; NaN and infinite voxels of a NIfTI become NaN (ITK's niftilib sets them to 0)."""
        (path,) = ensure_tuple(data)
        image = super().read(path, **kwargs)
        if str(path).endswith((".nii", ".nii.gz")):
            nifti: Any = nib.load(path)
            if nifti.get_data_dtype().kind == "f":
                voxels = itk.array_view_from_image(image)
                voxels[~np.isfinite(np.asarray(nifti.dataobj)).T.reshape(voxels.shape)] = np.nan
        return image


def read_image(path: str | Path) -> MetaTensor:
    """Read and check a scan: NIfTI, MHA/MHD, NRRD or the folder of a DICOM series.

    Returns: (1, H, W, D) float32 with its affine, voxels to RAS mm; DICOM and NIfTI rescaling (HU) applied.
    Raises: FileNotFoundError, ValueError: see `check_header` and `check_scan`.
    """
    check_header(path)
    load = LoadImage(image_only=True, ensure_channel_first=True, dtype=np.float32)
    try:
        image = load(path, reader=ScanReader())
    except RuntimeError as error:
        raise ValueError(f"{path}: the voxels cannot be read (truncated or damaged file?)\n{error}") from error
    check_scan(image)
    return image


def check_scan(image: MetaTensor) -> None:
    """Check a loaded scan (1, H, W, D).

    Raises: ValueError naming its file if it is not a single-channel volume, its axes are not perpendicular, a voxel is
        NaN or infinite (count and first index), or all voxels are equal.
    """
    name = str(image.meta.get("filename_or_obj", "image"))
    if image.ndim != 4 or image.shape[0] != 1:
        raise ValueError(f"{name}: expected a volume (1, H, W, D), got {tuple(image.shape)}")
    columns = torch.as_tensor(image.affine)[:3, :3].double().numpy()
    spacing = np.linalg.norm(columns, axis=0)
    check_geometry(name, spacing, columns / np.where(spacing > 0, spacing, 1.0))
    voxels = image.as_tensor()[0]
    low, high = voxels.aminmax()  # one pass; either is non-finite if a voxel is NaN or infinite
    if not (torch.isfinite(low) and torch.isfinite(high)):
        bad = torch.nonzero(~torch.isfinite(voxels))
        raise ValueError(f"{name}: {len(bad)} voxels are NaN or infinite, the first at index {tuple(bad[0].tolist())}")
    if low == high:
        raise ValueError(f"{name}: constant image: every voxel is {low.item():g}")


def content_sha256(image: MetaTensor) -> str:
    """SHA-256 of a scan (1, H, W, D): its voxels in HU, rounded to int16, in RAS axis order.

    Format, compression, axis order and position of the scan do not change it; resampling does.
    """
    canonical = Orientation(axcodes="RAS", labels=None)(image).as_tensor()[0].numpy()
    voxels = np.ascontiguousarray(as_stored(canonical, np.int16))
    return hashlib.sha256(f"{voxels.shape}\n".encode() + voxels.tobytes()).hexdigest()


def write_image(
    path: str | Path, image: Tensor | np.ndarray, affine: Tensor, *, dtype: type[np.generic] = np.float32
) -> None:
    """Write a volume (H, W, D) as NIfTI with qform and sform set, atomically.

    Args:
        affine: (4, 4), voxels to RAS mm; axes perpendicular.
        dtype: stored type; integer types round and clip to their range.
    Raises: ValueError for another suffix or number of dimensions.
    """
    voxels = np.asarray(image)
    if voxels.ndim != 3:
        raise ValueError(f"{path}: expected a volume (H, W, D), got {voxels.shape}")
    save_nifti(path, nib.Nifti1Image(as_stored(voxels, dtype), affine.double().numpy()))


def as_stored(voxels: np.ndarray, dtype: type[np.generic]) -> np.ndarray:
    """Convert voxels to the stored type; integer types round and clip to their range."""
    if np.issubdtype(dtype, np.integer) and voxels.dtype != dtype:
        limits = np.iinfo(dtype)  # type: ignore[type-var]  # mypy does not narrow type[generic]
        voxels = np.rint(voxels).clip(limits.min, limits.max)
    return voxels.astype(dtype, copy=False)
