"""Write NIfTI files that ITK and nibabel read with the same geometry, compressed on all cores."""

from __future__ import annotations

import os
import zlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from io import BytesIO
from pathlib import Path

import nibabel as nib
import numpy as np

from bundle.io.atomic import atomic_path

SCANNER_CODE = 1  # NIFTI_XFORM_SCANNER_ANAT: scanner coordinates
CHUNK_BYTES = 1 << 24
TILE_ROWS = 16
MAX_THREADS = 16
GZIP_HEADER = b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x04\xff"  # deflate, no name, no time, fastest, unknown system


def save_nifti(path: str | Path, nifti: nib.Nifti1Image, *, strategy: int = zlib.Z_DEFAULT_STRATEGY) -> None:
    """Save atomically, in mm, with qform and sform set to scanner coordinates.

    Args:
        path: ends in .nii or .nii.gz.
        strategy: of zlib; Z_RLE halves the time for smooth floating-point fields at the same size.
    Raises: ValueError for another suffix.
    """
    if not str(path).endswith((".nii", ".nii.gz")):
        raise ValueError(f"{path}: expected a name ending in .nii or .nii.gz")
    nifti.set_sform(nifti.affine, SCANNER_CODE)
    nifti.set_qform(nifti.affine, SCANNER_CODE)
    nifti.header.set_xyzt_units("mm")
    with atomic_path(path) as temporary:
        if temporary.suffix == ".gz":
            _write_gzip(temporary, nifti, strategy)
        else:
            nib.save(nifti, temporary)


def _write_gzip(path: Path, nifti: nib.Nifti1Image, strategy: int) -> None:
    """Write one gzip member: slabs are compressed in parallel and joined at byte boundaries, as in pigz.

    No scaling: voxels are stored with their own type.
    """
    header = BytesIO()
    nifti.header.set_slope_inter(1, 0)
    nifti.header.write_to(header)
    slabs = list(_slabs(np.asarray(nifti.dataobj)))

    def deflate(index: int) -> tuple[memoryview, bytes]:
        data = _file_order(slabs[index]).data.cast("B")
        packer = zlib.compressobj(1, zlib.DEFLATED, -zlib.MAX_WBITS, 9, strategy)
        packed = packer.compress(header.getvalue()) if index == 0 else b""
        packed += packer.compress(data)
        return data, packed + packer.flush(zlib.Z_FINISH if index == len(slabs) - 1 else zlib.Z_SYNC_FLUSH)

    with path.open("wb") as file, ThreadPoolExecutor(min(os.cpu_count() or 1, MAX_THREADS)) as pool:
        file.write(GZIP_HEADER)
        checksum, size = zlib.crc32(header.getvalue()), header.tell()
        for data, packed in pool.map(deflate, range(len(slabs))):
            file.write(packed)
            checksum, size = zlib.crc32(data, checksum), size + data.nbytes
        file.write(checksum.to_bytes(4, "little"))
        file.write((size % (1 << 32)).to_bytes(4, "little"))


def _slabs(voxels: np.ndarray) -> Iterator[np.ndarray]:
    """Split voxels (H, W, D, ...) into slabs (H, W, d) of about `CHUNK_BYTES`, in file order."""
    for index in np.ndindex(voxels.shape[:2:-1]):
        volume = voxels[(..., *index[::-1])]
        depth = max(1, CHUNK_BYTES // volume[..., 0].nbytes)
        for start in range(0, volume.shape[2], depth):
            yield volume[..., start : start + depth]


def _file_order(slab: np.ndarray) -> np.ndarray:
    """Copy a slab (H, W, d) to (d, W, H), in tiles that fit in the processor's cache, which halves the time."""
    ordered = np.empty(slab.shape[::-1], slab.dtype)
    for start in range(0, slab.shape[0], TILE_ROWS):
        ordered[:, :, start : start + TILE_ROWS] = slab[start : start + TILE_ROWS].T
    return ordered
