"""DICOM headers: the series in a folder and their geometry."""

from bundle.formats.dicom.choice import OPTIONS
from bundle.formats.dicom.frames import Frame
from bundle.formats.dicom.grid import Grid
from bundle.formats.dicom.instances import is_dicom
from bundle.formats.dicom.syntax import is_decoded_by_gdcm, syntax_name
from bundle.formats.dicom.volume import DicomVolume, find_volume
from bundle.formats.dicom.volumes import find_volumes

__all__ = [
    "OPTIONS",
    "DicomVolume",
    "Frame",
    "Grid",
    "find_volume",
    "find_volumes",
    "is_decoded_by_gdcm",
    "is_dicom",
    "syntax_name",
]
