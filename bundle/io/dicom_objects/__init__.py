"""DICOM objects made from a registration: the warped series, the spatial registration, and what they have in common."""

from bundle.io.dicom_objects.frames import check_frames
from bundle.io.dicom_objects.instance import carry, identify, new_series, references
from bundle.io.dicom_objects.read_object import read_object
from bundle.io.dicom_objects.results import DICOM_RESULTS, registration_field, write_dicom_results
from bundle.io.dicom_objects.source import Source, find_source, find_sources, slice_headers, source_of
from bundle.io.dicom_objects.spatial_registration import read_spatial_registration, write_spatial_registration

__all__ = [
    "DICOM_RESULTS",
    "Source",
    "carry",
    "check_frames",
    "find_source",
    "find_sources",
    "identify",
    "new_series",
    "read_object",
    "read_spatial_registration",
    "references",
    "registration_field",
    "slice_headers",
    "source_of",
    "write_dicom_results",
    "write_spatial_registration",
]
