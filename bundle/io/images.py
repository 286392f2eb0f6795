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
from monai.transforms import LoadImage
from monai.utils import ensure_tuple
from nibabel.openers import Opener
from nibabel.orientations import apply_orientation, io_orientation
from torch import Tensor

from bundle.formats import check_geometry, is_layered, itk_scale
from bundle.formats.dicom import find_volume, is_dicom
from bundle.geometry import slabs
from bundle.io.dicom_voxels import read_voxels
from bundle.io.headers import check_header, set_itk_grid
from bundle.io.masks import read_mask
from bundle.io.nifti import save_nifti

SLICES = 64  # brought to memory order together


class ScanReader(ITKReader):
    """MONAI's ITKReader with conversion to float32, since Python ITK lacks int8, int64 and uint64 images.

    DICOM is found by `bundle.formats.dicom`. In configs: `bundle.transforms.LoadImageSeriesd`, or without a choice of
    series `LoadImaged(keys, reader="bundle.io.ScanReader", ensure_channel_first=True)`. LoadImaged tries the next
    reader after an error, so checks are separate: `check_header` before reading, `CheckScand` after it.

    Args:
        series: series of a DICOM folder with several, see `bundle.formats.dicom.find_volume`.
    """

    def __init__(self, series: str | None = None) -> None:
        super().__init__(pixel_type=itk.F)
        self.series = series

    def read(self, data: Sequence[PathLike] | PathLike, **kwargs: Any) -> itk.Image:
        """Read one file or folder; NaN and infinite voxels of a NIfTI become NaN (ITK's niftilib sets them to 0)."""
        (path,) = ensure_tuple(data)
        if Path(path).is_dir() or is_dicom(path):
            return _read_dicom(path, self.series)
        if is_layered(path):
            return _read_union(path)
        image = super().read(path, **kwargs)
        scale = itk_scale(path)
        if scale != 1.0:
            image.SetSpacing([size * scale for size in image.GetSpacing()])
            image.SetOrigin([place * scale for place in image.GetOrigin()])
        if str(path).endswith((".nii", ".nii.gz")):
            _mark_non_finite(path, image)
        return image

    def get_data(self, img: itk.Image) -> tuple[np.ndarray, dict]:
        """MONAI's array (H, W, D) and its metadata, the array in memory order."""
        view, meta = super().get_data(img)
        if view.ndim < 3:
            return view, meta
        voxels = np.empty(view.shape, view.dtype)  # not like the view, which keeps the image of ITK alive
        for start in range(0, view.shape[2], SLICES):  # NumPy transposes a volume at once in up to ten times the time
            block = slice(start, start + SLICES)
            for column in range(view.shape[1]):
                voxels[:, column, block] = view[:, column, block]
        return voxels, meta


def _mark_non_finite(path: PathLike, image: itk.Image) -> None:
    """Set voxels to NaN that are NaN or infinite in a NIfTI file of floating-point numbers, slice by slice."""
    nifti: Any = nib.load(path)
    stored = nifti.get_data_dtype()
    if stored.kind != "f":
        return
    voxels = itk.array_view_from_image(image)
    slices = voxels.reshape(-1, *voxels.shape[-2:])
    with Opener(nifti.dataobj.file_like) as file:
        file.seek(nifti.dataobj.offset)
        for plane in slices:
            values = np.frombuffer(file.read(plane.size * stored.itemsize), stored).reshape(plane.shape)
            plane[~np.isfinite(values)] = np.nan


def _read_union(path: PathLike) -> itk.Image:
    """The union of the layers of a segmentation, as a mask."""
    mask = read_mask(str(path))
    image = itk.image_from_array(np.ascontiguousarray(mask[0].numpy().T, dtype=np.float32))
    set_itk_grid(image, torch.as_tensor(mask.affine))
    return image


def _read_dicom(path: PathLike, series: str | None) -> itk.Image:
    volume = find_volume(path, series, quiet=True)
    image = read_voxels(volume.frames)
    image.SetSpacing(volume.grid.spacing)
    image.SetDirection(itk.matrix_from_array(volume.grid.direction))
    image.SetOrigin(volume.grid.origin)
    for key, value in volume.origin.items():
        image[key] = value
    return image


def read_image(path: str | Path, series: str | None = None) -> MetaTensor:
    """Read and check a scan: NIfTI, MHA/MHD, NRRD or a DICOM folder.

    Args:
        series: series of a DICOM folder with several, see `bundle.formats.dicom.find_volume`.
    Returns: (1, H, W, D) float32 with its affine, voxels to RAS mm; DICOM and NIfTI rescaling (HU) applied.
    Raises: FileNotFoundError, ValueError: see `check_header` and `check_scan`.
    """
    check_header(path, series)
    load = LoadImage(image_only=True, ensure_channel_first=True, dtype=np.float32)
    try:
        image = load(path, reader=ScanReader(series))
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
    own = image.as_tensor()[0].numpy()
    voxels = apply_orientation(own, io_orientation(np.asarray(image.affine)))  # a view
    digest = hashlib.sha256(f"{voxels.shape}\n".encode())
    for start, stop in slabs(voxels.shape):
        digest.update(np.ascontiguousarray(as_stored(voxels[start:stop], np.int16)).data)
    return digest.hexdigest()


def write_image(
    path: str | Path,
    image: Tensor | np.ndarray,
    affine: Tensor,
    *,
    dtype: type[np.generic] = np.float32,
    step: float = 1.0,
) -> None:
    """Write a volume (H, W, D) as NIfTI with qform and sform set, atomically.

    Args:
        affine: (4, 4), voxels to RAS mm; axes perpendicular.
        dtype: stored type; integer types round and clip to their range.
        step: value of one stored unit (scl_slope); `image` is given in these units.
    Raises: ValueError for another suffix or number of dimensions.
    """
    voxels = np.asarray(image)
    if voxels.ndim != 3:
        raise ValueError(f"{path}: expected a volume (H, W, D), got {voxels.shape}")
    save_nifti(path, nib.Nifti1Image(as_stored(voxels, dtype), affine.double().numpy(), dtype=dtype), step=step)


def compact(image: MetaTensor) -> MetaTensor:
    """A scan as int16 if all its voxels are whole numbers of that range, as those of CT are; else as it is."""
    voxels = image.as_tensor()
    stored = voxels.to(torch.int16)
    if any(bool((stored[:, start:stop] != voxels[:, start:stop]).any()) for start, stop in slabs(voxels.shape[1:])):
        return image
    return MetaTensor(stored, meta=image.meta)


def as_stored(voxels: np.ndarray, dtype: type[np.generic]) -> np.ndarray:
    """Convert voxels to the stored type; integer types round and clip to their range."""
    if np.issubdtype(dtype, np.integer) and voxels.dtype != dtype:
        limits = np.iinfo(dtype)  # type: ignore[type-var]  # mypy does not narrow type[generic]
        voxels = np.rint(voxels)
        voxels.clip(limits.min, limits.max, out=voxels)
    return voxels.astype(dtype, copy=False)
