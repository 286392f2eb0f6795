from __future__ import annotations

from pathlib import Path

import pydicom
import pytest
from pydicom.uid import UID, HTJ2KLossless, JPEGLSLossless

from bundle.formats.dicom import find_volume, syntax_name
from bundle.formats.dicom.syntax import check_syntax
from tests.formats.dicom.conftest import write_series


@pytest.mark.parametrize(
    ("syntax", "name"),
    [
        ("1.2.840.10008.1.2.4.100", r"1\.2\.840\.10008\.1\.2\.4\.100 \(MPEG2.*\)"),
        ("1.2.840.10008.1.2.4.95", r"1\.2\.840\.10008\.1\.2\.4\.95 \(JPIP.*\)"),
        ("1.2.840.113619.5.2", r"1\.2\.840\.113619\.5\.2"),
    ],
)
def test_a_syntax_that_cannot_be_decoded_is_named(tmp_path: Path, syntax: str, name: str) -> None:
    for file in write_series(tmp_path):
        content = file.read_bytes()
        old = b"1.2.840.10008.1.2.1\0"
        at = content.index(old)
        new = syntax.encode() + b"\0" * (len(syntax) % 2)
        length = len(new).to_bytes(2, "little")
        group = int.from_bytes(content[140:144], "little") + len(new) - len(old)
        head = content[:140] + group.to_bytes(4, "little") + content[144 : at - 2]
        file.write_bytes(head + length + new + content[at + len(old) :])
        assert pydicom.dcmread(file, stop_before_pixels=True).file_meta.TransferSyntaxUID == syntax
    with pytest.raises(
        ValueError,
        match=rf"000\.dcm: pixels in transfer syntax {name} cannot be decoded: expected none or deflated, RLE, JPEG, "
        "JPEG-LS or JPEG 2000 compression; convert the series first",
    ):
        find_volume(tmp_path)


def test_names_follow_the_uid() -> None:
    assert syntax_name(JPEGLSLossless) == "1.2.840.10008.1.2.4.80 (JPEG-LS Lossless Image Compression)"
    assert syntax_name(UID("1.2.3")) == "1.2.3"


def test_the_package_that_decodes_high_throughput_jpeg_2000_is_named() -> None:
    name = r"1\.2\.840\.10008\.1\.2\.4\.201 \(High-Throughput JPEG 2000.*\)"
    with pytest.raises(
        ValueError, match=rf"a\.dcm: pixels in transfer syntax {name} .*e\.g\. with .* pylibjpeg-openjpeg"
    ):
        check_syntax("a.dcm", HTJ2KLossless)
