"""Check image files by their headers, within a fraction of a second and without ITK or torch."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from os import PathLike
from pathlib import Path
from types import MappingProxyType

from bundle.formats import metaimage, nifti, nrrd
from bundle.formats.dicom import OPTIONS, find_volume, is_dicom
from bundle.formats.file_header import FileHeader
from bundle.formats.truncation import metaimage_fields, nrrd_fields

FORMATS = "NIfTI, MHA/MHD, NRRD or a DICOM folder"
READERS: dict[tuple[str, ...], Callable[[Path, int], FileHeader]] = {
    nifti.SUFFIXES: nifti.check_nifti,
    metaimage.SUFFIXES: metaimage.check_metaimage,
    nrrd.SUFFIXES: nrrd.check_nrrd,
}


def check_image_file(
    path: str | Path, series: str | None = None, *, option: str = OPTIONS, components: int = 1
) -> FileHeader | None:
    """Check the header of a NIfTI, MetaImage or NRRD file or of DICOM; None for DICOM and other files.

    Args:
        series: series of a DICOM folder with several, see `bundle.formats.dicom.find_volume`.
        option: name of the option that holds it, for errors.
        components: values of each voxel, 3 of a displacement field.
    Raises:
        FileNotFoundError: no such file or folder, no DICOM file in the folder, or a missing data file.
        ValueError: unreadable or truncated file; not a 3-D volume of so many values a voxel; spacing not above 0; axes
            not perpendicular; an unknown unit of length; what `find_volume` raises.
    """
    path = Path(path)
    if not path.exists():
        raise FileNotFoundError(f"{path}: no such file or folder (expected {FORMATS})")
    if path.is_dir() or is_dicom(path):
        find_volume(path, series, option=option, quiet=True)
    elif series:
        raise ValueError(f"{path}: expected a DICOM folder to choose series {series!r} from, found a file")
    else:
        for suffixes, read in READERS.items():
            if path.name.lower().endswith(suffixes):
                return read(path, components)
        if path.stat().st_size == 0:
            raise ValueError(f"{path}: cannot be read as an image: empty file (expected {FORMATS})")
    return None


def check_files(
    images: Mapping[str, str | Path | None],
    others: Mapping[str, str | Path | None],
    series: Mapping[str, str | None] = MappingProxyType({}),
) -> None:
    """Check the files that a command names, by option; options without a file are left out.

    Args:
        images: scans and masks.
        others: files that only have to exist.
        series: of DICOM folders with several, by the option of the folder.
    Raises: FileNotFoundError, ValueError: see `check_image_file`.
    """
    for option, path in images.items():
        if path not in (None, ""):
            named = f"--{option}_series" if option in series else OPTIONS
            check_image_file(str(path), series.get(option), option=named)
    for option, path in others.items():
        if path not in (None, "") and not Path(str(path)).exists():
            raise FileNotFoundError(f"{path}: no such file (--{option})")


def itk_scale(path: str | PathLike[str]) -> float:
    """Factor from ITK's lengths to mm: ITK converts the unit that a NIfTI file states, and ignores other formats'."""
    file = Path(path)
    if file.name.lower().endswith(metaimage.SUFFIXES):
        return metaimage.metaimage_unit_mm(file, metaimage_fields(file)[0])
    if file.name.lower().endswith(nrrd.SUFFIXES):
        return nrrd.nrrd_unit_mm(file, nrrd_fields(file)[0])
    return 1.0
