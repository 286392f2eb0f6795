"""The headers of image files, checked in pure Python: what is wrong is known before ITK and torch are loaded."""

from bundle.formats.check import check_files, check_image_file, itk_scale
from bundle.formats.file_header import FileHeader, check_geometry, check_shape
from bundle.formats.json_file import read_json
from bundle.formats.nrrd import is_layered

__all__ = [
    "FileHeader",
    "check_files",
    "check_geometry",
    "check_image_file",
    "check_shape",
    "is_layered",
    "itk_scale",
    "read_json",
]
