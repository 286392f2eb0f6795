from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from bundle.formats.dicom import find_volume
from bundle.io import check_header
from bundle.io.dicom_objects.source import find_source, find_sources, slice_headers
from tests.formats.dicom.conftest import edit, write_enhanced
from tests.io.dicom_objects.conftest import Series


def test_frames_of_a_multi_frame_file_have_headers_as_slices_have(fixed: Series, tmp_path: Path) -> None:
    order = [3, 1, 4, 0, 5, 9, 2, 6, 8, 7]
    write_enhanced(tmp_path / "enhanced.dcm", sorted(fixed.folder.iterdir()), order)
    headers = slice_headers(find_volume(tmp_path / "enhanced.dcm").frames)
    for index, (header, slice_) in enumerate(zip(headers, fixed.slices, strict=True)):
        assert header.ReferencedFrameNumber == order.index(index) + 1
        for keyword in ("ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing"):
            np.testing.assert_allclose(header[keyword].value, slice_[keyword].value, atol=1e-9)
        assert header.PatientName == "Müller^Jörg"


def test_a_source_has_the_slices_in_order_and_the_affine_of_the_scan(fixed: Series) -> None:
    source = find_source(fixed.folder)
    assert [header.SOPInstanceUID for header in source.slices] == [slice_.SOPInstanceUID for slice_ in fixed.slices]
    np.testing.assert_array_equal(source.affine, check_header(fixed.folder).affine)
    assert source.frame_of_reference == fixed.slices[0].FrameOfReferenceUID


def test_what_is_no_dicom_or_of_another_patient_is_refused(fixed: Series, moving: Series, tmp_path: Path) -> None:
    scan = tmp_path / "scan.nii.gz"
    scan.write_bytes(b"no DICOM" * 40)
    with pytest.raises(ValueError, match=r"scan\.nii\.gz: expected a DICOM folder or file"):
        find_source(scan)
    with pytest.raises(FileNotFoundError, match="gone: no such DICOM folder"):
        find_source(tmp_path / "gone")
    scans = {"fixed": fixed.folder, "moving": moving.folder}
    assert list(find_sources(scans, {})) == ["fixed", "moving"]
    for file in moving.folder.iterdir():
        edit(file, PatientID="18")
    with pytest.raises(ValueError, match=r"fixed and .*moving: expected one patient, got PatientID \['17', '18'\]"):
        find_sources(scans, {})
    for file in moving.folder.iterdir():
        edit(file, FrameOfReferenceUID=None)
    with pytest.raises(ValueError, match=r"000\.dcm: series .* has no FrameOfReferenceUID"):
        find_source(moving.folder)
