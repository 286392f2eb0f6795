"""The series of `tests.io.dicom_objects`, for the tests here."""

from tests.io.dicom_objects.conftest import fixed, moving

__all__ = ["fixed", "moving"]
