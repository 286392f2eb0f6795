"""Masks and label maps: read with their own values, and masks brought to the grid of their scan."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import itk
import nibabel as nib
import numpy as np
import torch
from monai.data import MetaTensor
from torch import Tensor

from bundle.formats import is_layered
from bundle.geometry import affine_columns, apply_affine, slabs_of_points
from bundle.io.headers import ImageHeader, check_header

SAME_GRID_MM = 1e-3  # largest distance between the corners of equal grids
MIN_OVERLAP = 0.5  # of the smaller of the two boxes, and of the mask itself
LATTICE = 9  # points along each axis with which the overlap of two boxes is measured
EXACT = 2**53  # whole numbers up to here are exact in double precision, with which ITK reads
WIDER = {"uint16": np.int32, "uint32": np.int64, "uint64": np.int64}  # PyTorch does not compute with these
ITK_TYPES = {
    "char": np.int8,
    "unsigned_char": np.uint8,
    "short": np.int16,
    "unsigned_short": np.uint16,
    "int": np.int32,
    "unsigned_int": np.uint32,
    "long": np.int64,
    "unsigned_long": np.uint64,
    "long_long": np.int64,
    "unsigned_long_long": np.uint64,
}


def read_labels(path: str | Path, series: str | None = None) -> MetaTensor:
    """Read a label map: (1, H, W, D) in the type of its file, with its affine, voxels to RAS mm.

    Raises: FileNotFoundError, ValueError: see `bundle.io.check_header`; ValueError also for a segmentation of 3D Slicer
        whose layers do not fit into one map, and for integers beyond 2**53 that ITK would round.
    """
    header = check_mask_file(path, series)
    if is_layered(path):
        voxels = _merged(path, read_layers(path))
    elif str(path).lower().endswith((".nii", ".nii.gz")):
        nifti: Any = nib.load(path)
        voxels = np.asanyarray(nifti.dataobj).reshape(header.shape)
    else:
        voxels = _read_with_itk(path, series)
    voxels = np.ascontiguousarray(voxels, dtype=voxels.dtype.newbyteorder("="))
    return MetaTensor(torch.from_numpy(voxels)[None], affine=header.affine, meta={"filename_or_obj": str(path)})


def check_whole_numbers(labels: MetaTensor, path: str | Path) -> None:
    """Raises: ValueError if a value of a label map (1, H, W, D), which stands for a label, is no whole number."""
    values = labels.as_tensor()
    if values.is_floating_point() and not torch.equal(values, values.round()):
        found = values[values != values.round()][0]
        raise ValueError(f"{path}: expected whole numbers, one for each label, found {found:g}")


def read_mask(path: str | Path) -> MetaTensor:
    """Read a mask as `read_labels` does; of a segmentation with several layers, their union."""
    if not is_layered(path):
        return read_labels(path)
    header = check_mask_file(path)
    voxels = torch.from_numpy(read_layers(path).max(axis=0))
    return MetaTensor(voxels[None], affine=header.affine, meta={"filename_or_obj": str(path)})


def check_mask_file(path: str | Path, series: str | None = None) -> ImageHeader:
    """`check_header` of a mask, which may be a segmentation of 3D Slicer with several layers."""
    return check_header(path, series, layers=is_layered(path))


def read_layers(path: str | Path) -> np.ndarray:
    """The layers (L, H, W, D), float32, of a segmentation of 3D Slicer: segments in one layer do not overlap."""
    reader = itk.ImageFileReader[itk.VectorImage[itk.F, 3]].New(FileName=str(path))
    reader.Update()
    return np.ascontiguousarray(itk.array_from_image(reader.GetOutput()).T)


def _merged(path: str | Path, layers: np.ndarray) -> np.ndarray:
    """Layers as one label map (H, W, D) of the smallest type. Raises: ValueError if that would lose a segment."""
    values = [np.setdiff1d(layer, [0]) for layer in layers]
    is_shared = len(np.unique(np.concatenate(values))) < sum(map(len, values))
    if is_shared or ((layers != 0).sum(axis=0) > 1).any():
        raise ValueError(
            f"{path}: expected segments of one label map, found some in {len(layers)} layers that "
            f"{'have the same label value' if is_shared else 'overlap'}; export each layer as a label map (3D Slicer: "
            "Segmentations, Export to files) and warp them one by one"
        )
    merged: np.ndarray = layers.max(axis=0)
    return merged.astype(np.uint8 if merged.max() < 256 else np.int32)


def _read_with_itk(path: str | Path, series: str | None) -> np.ndarray:
    from bundle.io.images import ScanReader

    if Path(path).is_dir():
        voxels, _ = ScanReader(series).get_data(ScanReader(series).read(path))
        return np.asarray(voxels)
    image = itk.imread(str(path), itk.D)
    voxels = itk.array_from_image(image).T
    file = itk.ImageIOFactory.CreateImageIO(str(path), itk.CommonEnums.IOFileMode_ReadMode)
    file.SetFileName(str(path))
    file.ReadImageInformation()
    stored = ITK_TYPES.get(file.GetComponentTypeAsString(file.GetComponentType()))
    if stored is None:
        return voxels
    if np.abs(voxels).max() >= EXACT:
        raise ValueError(f"{path}: expected labels below 2**53, got {np.abs(voxels).max():g}; write them as NIfTI")
    return voxels.astype(stored)


def check_mask(mask: ImageHeader, scan: ImageHeader) -> None:
    """Check that the grid of a mask covers the same world as its scan, or a part of it, in voxels of any kind.

    Raises: ValueError naming both files and their positions, if they overlap by less than half of the smaller one, or
        have one shape but not one place.
    """
    apart = torch.cdist(mask.corners_mm, scan.corners_mm)
    shift_mm = float(torch.maximum(apart.amin(dim=0).max(), apart.amin(dim=1).max()))  # flipped axes: 0
    is_moved = mask.shape == scan.shape and shift_mm > max(scan.spacing_mm)
    if is_moved or _overlap(mask, scan) < MIN_OVERLAP:
        reason = f", with corners {shift_mm:.1f} mm apart though the shapes are equal" if is_moved else ""
        raise ValueError(
            f"{mask.path}: the mask lies in another place than its scan {scan.path}{reason}: "
            f"expected it within {_extent(scan)}, found {_extent(mask)} (RAS mm)"
        )


def fit_mask(mask: MetaTensor, scan: MetaTensor) -> MetaTensor:
    """Bring a mask (1, h, w, d) to the grid of its scan (1, H, W, D), with its values: nearest voxel, 0 outside.

    Raises: ValueError: see `check_mask`; also if less than half of the mask lies within the scan, if it has values
        below 0, as scans do, or none above.
    """
    grid, target = ImageHeader.of(mask), ImageHeader.of(scan)
    values = mask.as_tensor().numpy()[0]
    voxels = torch.from_numpy(values.astype(WIDER.get(values.dtype.name, values.dtype), copy=False))
    if not (voxels.min() >= 0 and voxels.max() > 0):
        raise ValueError(
            f"{grid.path}: expected a mask, 0 outside the lungs and above 0 inside, "
            f"found values of {float(voxels.min()):g} to {float(voxels.max()):g}"
        )
    if grid.shape == target.shape and float((grid.corners_mm - target.corners_mm).norm(dim=1).max()) <= SAME_GRID_MM:
        return MetaTensor(voxels[None], affine=mask.affine, meta={"filename_or_obj": grid.path})
    check_mask(grid, target)
    to_mask = torch.linalg.inv(grid.affine) @ target.affine
    fitted = torch.zeros(target.shape, dtype=voxels.dtype)
    last = torch.tensor(grid.shape).view(3, 1) - 1
    for rows, points in slabs_of_points(target.shape, torch.empty(0)):
        nearest = affine_columns(to_mask, points.flatten(1)).round_().long()
        inside = ((nearest >= 0) & (nearest <= last)).all(dim=0)
        i, j, k = torch.minimum(nearest.clamp_min_(0), last)
        fitted[rows] = (voxels[i, j, k] * inside).view(points.shape[1:])
    found_ml = [
        float((part > 0).sum()) * float(torch.linalg.det(header.affine[:3, :3]).abs()) / 1000
        for part, header in ((fitted, target), (voxels, grid))
    ]
    if found_ml[0] < MIN_OVERLAP * found_ml[1]:
        raise ValueError(
            f"{grid.path}: expected a mask within its scan {target.path}, found {found_ml[0]:.0f} of "
            f"{found_ml[1]:.0f} ml there: the mask's grid is {_extent(grid)}, the scan's {_extent(target)} (RAS mm)"
        )
    return MetaTensor(fitted[None], affine=scan.affine, meta={"filename_or_obj": grid.path})


def _overlap(first: ImageHeader, second: ImageHeader) -> float:
    """Largest share of one grid's box, voxels included, that lies in the other's."""
    return max(_share_inside(first, second), _share_inside(second, first))


def _share_inside(inner: ImageHeader, outer: ImageHeader) -> float:
    steps = (torch.arange(LATTICE, dtype=torch.float64) + 0.5) / LATTICE
    points_vox = torch.cartesian_prod(*[steps * size - 0.5 for size in inner.shape])
    return float(outer.contains(apply_affine(inner.affine, points_vox)).double().mean())


def _extent(header: ImageHeader) -> str:
    corners: Tensor = header.corners_mm
    low, high = corners.amin(dim=0).tolist(), corners.amax(dim=0).tolist()
    return ", ".join(f"{axis} {a:.1f} to {b:.1f}" for axis, a, b in zip("xyz", low, high, strict=True))
