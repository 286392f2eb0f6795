"""Check the header of a NIfTI file as stored: nibabel and ITK replace a bad pixdim or a sheared sform silently."""

from __future__ import annotations

import logging
import math
import zlib
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np

from bundle.formats.file_header import FileHeader, check_components, check_geometry, check_origin, check_shape, text_of
from bundle.formats.truncation import check_complete

log = logging.getLogger(__name__)

SUFFIXES = (".nii", ".nii.gz")
HEADER_BYTES = 348
SAME_SPACING = 1e-2  # relative; pixdim and sform are often rounded differently
SAME_FORM_MM = 0.1
RGB_DATATYPES = (128, 2304)  # NIfTI RGB24 and RGBA32
REAL_DATATYPES = (2, 4, 8, 16, 64, 256, 512, 768, 1024, 1280)  # what ITK reads with one value per voxel
UNITS_MM = {0: 1.0, 1: 1e3, 2: 1.0, 3: 1e-3}  # unknown, metre, mm, micron; ITK converts the same way


def check_nifti(path: Path, components: int = 1) -> FileHeader:
    """Check a .nii or .nii.gz file, without its voxels.

    Raises: ValueError: unreadable or truncated; not one 3-D volume of real numbers; spacing, direction or position out
        of order; another .nii beside a .nii.gz.
    """
    try:
        kind: Any = nib.load(path).header_class
        with nib.openers.ImageOpener(str(path)) as file:
            header = kind.from_fileobj(file, check=False)
    except (nib.filebasedimages.ImageFileError, nib.spatialimages.HeaderDataError, OSError, EOFError) as error:
        raise _unreadable(path, error) from error
    except (ValueError, KeyError, ArithmeticError, zlib.error) as error:  # of damaged headers and streams
        raise _unreadable(path, error) from error
    twin = path.with_suffix("")
    if twin.suffix.lower() == ".nii" and twin.is_file():
        raise ValueError(f"{path}: ITK would read the voxels of {twin.name} beside it instead; rename or remove one")
    if not 1 <= int(header["dim"][0]) <= 7:
        raise ValueError(f"{path}: unreadable header: expected 1 to 7 axes, got dim[0] = {int(header['dim'][0])}")
    sides = [int(size) for size in header["dim"][1 : int(header["dim"][0]) + 1]]
    shape = check_shape(path, sides if components == 1 else sides[:4])
    check_components(path, 1 if components == 1 else math.prod(sides[4:]), components)
    if int(header["datatype"]) in RGB_DATATYPES:
        raise ValueError(f"{path}: expected one value per voxel, got RGB")
    if int(header["datatype"]) not in REAL_DATATYPES:
        raise ValueError(f"{path}: expected real numbers, got voxels of NIfTI datatype {int(header['datatype'])}")
    unit_mm = UNITS_MM.get(int(header["xyzt_units"]) % 8)
    if unit_mm is None:
        raise ValueError(f"{path}: expected lengths in m, mm or micron, got xyzt_units {int(header['xyzt_units'])}")
    spacing_mm = _check_forms(path, header, unit_mm)
    start = float(header["vox_offset"])
    if not (math.isfinite(start) and (start == 0 or start >= HEADER_BYTES)):
        raise ValueError(f"{path}: unreadable header: expected vox_offset of {HEADER_BYTES} or more, got {start:g}")
    slope, intercept = float(header["scl_slope"]), float(header["scl_inter"])
    if math.isinf(slope) or (slope != 0 and not math.isnan(slope) and not math.isfinite(intercept)):
        raise ValueError(f"{path}: expected finite scl_slope and scl_inter, got {slope:g} and {intercept:g}")
    voxels = components * math.prod(shape) * header.get_data_dtype().itemsize
    check_complete(path, voxels, offset_bytes=int(start))
    has_position = bool(header["sform_code"] > 0 or header["qform_code"] > 0)
    return FileHeader(path=str(path), shape=shape, spacing_mm=spacing_mm, has_position=has_position)


def _check_forms(path: Path, header: Any, unit_mm: float) -> tuple[float, float, float]:
    """The voxel size, mm."""
    pixdim = header["pixdim"][1:4].astype(np.float64)
    check_geometry(str(path), pixdim * unit_mm, np.eye(3))
    if header["sform_code"] > 0:
        sform = np.array([header[f"srow_{axis}"] for axis in "xyz"], dtype=np.float64)
        check_origin(path, sform[:, 3])
        lengths = np.linalg.norm(sform[:, :3], axis=0)
        directions = sform[:, :3] / np.where(lengths > 0, lengths, 1)
        check_geometry(f"{path} (sform)", lengths * unit_mm, directions)
        if not np.allclose(lengths, pixdim, rtol=SAME_SPACING):  # ITK uses one, nibabel the other
            sizes = text_of(pixdim * unit_mm), text_of(lengths * unit_mm)
            raise ValueError(f"{path}: voxel size {sizes[0]} mm in pixdim but {sizes[1]} mm in sform")
    if header["qform_code"] > 0:
        quaternion = np.array([header[f"quatern_{letter}"] for letter in "bcd"], dtype=np.float64)
        check_origin(path, [float(header[f"qoffset_{axis}"]) for axis in "xyz"])
        if not (np.isfinite(quaternion).all() and quaternion @ quaternion <= 1 + 1e-4):
            raise ValueError(f"{path}: expected a unit quaternion in the qform, got {text_of(quaternion)}")
        if header["sform_code"] > 0 and not _forms_agree(header, unit_mm):
            log.warning("%s: sform and qform differ; ITK's choice is used, as in 3D Slicer and ITK's tools", path)
    elif header["sform_code"] <= 0:
        log.warning("%s: neither qform nor sform is set: position and orientation are unknown", path)
    x, y, z = (pixdim * unit_mm).tolist()
    return (x, y, z)


def _forms_agree(header: Any, unit_mm: float) -> bool:
    try:
        return np.allclose(header.get_sform() * unit_mm, header.get_qform() * unit_mm, atol=SAME_FORM_MM)
    except ValueError:  # a quaternion a little longer than 1
        return False


def _unreadable(path: Path, error: Exception) -> ValueError:
    return ValueError(f"{path}: cannot be read as NIfTI (truncated or damaged?): {error}")
