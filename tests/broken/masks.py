"""Broken masks of the scan `valid.nii`."""

from __future__ import annotations

import gzip

import nibabel as nib
import numpy as np

from tests.broken.case import SHAPE, Collection
from tests.broken.nifti import valid, with_fields


def mask(voxels: np.ndarray, *, shift_mm: float = 0.0) -> bytes:
    """A mask on the grid of `valid.nii`, or beside it."""
    affine = nib.Nifti1Image.from_bytes(valid()).affine.copy()
    affine[:3, 3] += shift_mm
    return nib.Nifti1Image(voxels, affine).to_bytes()


def add_masks(to: Collection) -> None:
    """Masks without a voxel, with values that masks do not have, of other types, in another place, cut."""
    lungs = np.zeros(SHAPE, np.uint8)
    lungs[2:6, 2:6, 2:6] = 1
    whole = mask(lungs)
    contents = {
        "empty": mask(lungs * 0),
        "of negative values": mask(lungs.astype(np.int16) * -1),
        "a scan": valid(),
        "with nan": mask(np.where(lungs > 0, 1, np.nan).astype(np.float32)),
        "of nan": mask(np.full(SHAPE, np.nan, np.float32)),
        "with inf below": mask(np.where(lungs > 0, 1, -np.inf).astype(np.float32)),
        "in another place": mask(lungs, shift_mm=500.0),
        "in 2-D": mask(lungs[..., :1]),
        "in 4-D": mask(np.stack([lungs, lungs], axis=-1)),
        "of RGB": mask(lungs.astype([("R", "u1"), ("G", "u1"), ("B", "u1")])),
        "of complex numbers": mask(lungs.astype(np.complex64)),
        "of spacing 0": with_fields(content=whole, forms=False, pixdim_2=0),
        "huge": with_fields(content=whole, dim_1=32767, dim_2=32767),
        "text": b"this is no mask",
        "no bytes": b"",
    }
    for name, content in contents.items():
        to.add(f"mask: {name}", "mask", "mask.nii", content)
    for cut in (200, 352, len(whole) - 1):
        to.add(f"mask: cut at byte {cut}", "mask", "mask.nii", whole[:cut])
    packed = gzip.compress(whole)
    for cut in (12, len(packed) // 2, len(packed) - 1):
        to.add(f"mask: gzip cut at byte {cut}", "mask", "mask.nii.gz", packed[:cut])
    to.add_path("no mask", "mask", to.folder / "none_mask.nii.gz")
