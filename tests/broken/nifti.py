"""Broken NIfTI files."""

from __future__ import annotations

import gzip
from typing import Any

import nibabel as nib
import numpy as np

from tests.broken.case import SHAPE, Collection

NAN, INF = np.nan, np.inf


def valid(dtype: type[np.generic] = np.int16) -> bytes:
    """A small scan with sform and qform."""
    voxels = np.random.default_rng(0).integers(-1000, 500, SHAPE).astype(dtype)
    affine = np.diag([-0.7, -1.1, 2.5, 1.0])
    affine[:3, 3] = 150, 120, -30
    image = nib.Nifti1Image(voxels, affine)
    image.set_sform(affine, 1)
    image.set_qform(affine, 1)
    image.header.set_xyzt_units("mm")
    return image.to_bytes()


def with_fields(*, content: bytes | None = None, forms: bool = True, **fields: Any) -> bytes:
    """A scan whose header has other values, bypassing nibabel's repairs; `name_3` sets element 3 of field `name`."""
    content = valid() if content is None else content
    header = nib.Nifti1Header(content[:348], check=False)
    if not forms:
        header["sform_code"] = header["qform_code"] = 0
    for name, value in fields.items():
        field, _, index = name.rpartition("_")
        if index.isdigit():
            header[field][int(index)] = value
        else:
            header[name] = value
    return header.binaryblock + content[348:]


def add_nifti(to: Collection) -> None:
    """Headers cut at every field, fields out of order, damaged streams."""
    whole, packed = valid(), gzip.compress(valid())
    fields = nib.Nifti1Header.template_dtype.fields
    assert fields is not None
    for name, (_, offset, *_) in fields.items():
        to.add(f"nifti cut before {name}", "image", "scan.nii", whole[:offset])
    for cut in (348, 352, 353, len(whole) - 1):
        to.add(f"nifti cut at byte {cut}", "image", "scan.nii", whole[:cut])
    for cut in (0, 1, 9, 18, 30, 200, len(packed) // 2, len(packed) - 8, len(packed) - 4, len(packed) - 1):
        to.add(f"gzip cut at byte {cut}", "image", "scan.nii.gz", packed[:cut])
    for place in (12, len(packed) // 2, len(packed) - 30):
        damaged = bytearray(packed)
        damaged[place] ^= 0xFF
        to.add(f"gzip damaged at byte {place}", "image", "scan.nii.gz", bytes(damaged))
    to.add("no gzip", "image", "scan.nii.gz", whole)
    to.add("gzip of text", "image", "scan.nii.gz", gzip.compress(b"this is no image"))
    to.add("text", "image", "scan.nii", "this is no image")
    to.add("zeros", "image", "scan.nii", bytes(4000))
    to.add("random bytes", "image", "scan.nii", np.random.default_rng(1).bytes(4000))

    for axis in (1, 2, 3):
        for value in (0, -1.5, NAN, INF, 1e-30, 1e30):
            to.add(
                f"pixdim[{axis}] {value}", "image", "scan.nii", with_fields(forms=False, **{f"pixdim_{axis}": value})
            )
        for value in (0, -3, 1, 32767):
            to.add(f"dim[{axis}] {value}", "image", "scan.nii", with_fields(**{f"dim_{axis}": value}))
    for value in (0, 1, 2, 4, 8, -1, 3000):
        to.add(f"dim[0] {value}", "image", "scan.nii", with_fields(dim_0=value, dim_4=2))
    huge = np.array([3, 32767, 32767, 32767, 1, 1, 1, 1])
    to.add("huge", "image", "scan.nii", with_fields(dim=huge))
    to.add("huge, packed", "image", "scan.nii.gz", gzip.compress(with_fields(dim=huge)))
    multiple = np.array([3, 2048, 2048, 512, 1, 1, 1, 1])  # 2**32 bytes: the gzip trailer counts modulo 2**32
    to.add("as many bytes modulo 2**32", "image", "scan.nii.gz", gzip.compress(with_fields(dim=multiple)[:352]))
    for name in ("dim", "pixdim", "datatype", "vox_offset", "srow_x"):
        swapped = nib.Nifti1Header(whole[:348], check=False)[name].byteswap()
        to.add(f"{name} of the wrong endianness", "image", "scan.nii", with_fields(**{name: swapped}))
    for value in (0, 1, 32, 128, 1536, 1792, 2048, 2304, 77, -5):
        to.add(f"datatype {value}", "image", "scan.nii", with_fields(datatype=value))
    for value in (NAN, INF, -8, 10, 1e9):
        to.add(f"vox_offset {value}", "image", "scan.nii", with_fields(vox_offset=value))
    for value in (INF, -INF):
        to.add(f"scl_slope {value}", "image", "scan.nii", with_fields(scl_slope=value))
    for value in (INF, NAN):
        to.add(f"scl_inter {value}", "image", "scan.nii", with_fields(scl_slope=1, scl_inter=value))
    to.add("unknown unit", "image", "scan.nii", with_fields(xyzt_units=7))
    to.add("wrong magic", "image", "scan.nii", with_fields(magic=b"abc"))
    for name, row in (("sheared", [-0.7, 0.3, 0, 150]), ("zero", [0, 0, 0, 0]), ("nan", [NAN] * 4), ("inf", [INF] * 4)):
        to.add(f"{name} sform", "image", "scan.nii", with_fields(srow_x=row))
    to.add("sform of another size", "image", "scan.nii", with_fields(srow_z=[0, 0, 5, -30]))
    to.add("position nan", "image", "scan.nii", with_fields(srow_z=[0, 0, 2.5, NAN]))
    for name, value in (("quatern_b", 3), ("quatern_c", NAN), ("qoffset_y", INF)):
        to.add(f"{name} {value}", "image", "scan.nii", with_fields(sform_code=0, **{name: value}))

    for name, values in (("nan", NAN), ("inf", INF)):
        voxels = bytearray(valid(np.float32))
        voxels[-4:] = np.float32(values).tobytes()
        to.add(f"a voxel {name}", "image", "scan.nii", bytes(voxels))
    to.add("constant", "image", "scan.nii", whole[:352] + bytes(len(whole) - 352))
    to.add("an unpacked twin", "image", "scan.nii.gz", packed, scan_nii=whole)
