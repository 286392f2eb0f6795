import gzip
from pathlib import Path

import itk
import numpy as np
import pytest

from bundle.io import check_header


@pytest.mark.parametrize("compress", [False, True])
@pytest.mark.parametrize("suffix", [".nii", ".nii.gz", ".mha", ".nrrd"])
def test_a_truncated_file_is_refused_with_both_sizes(
    tmp_path: Path, scan_hu: np.ndarray, suffix: str, compress: bool
) -> None:
    path = tmp_path / f"scan{suffix}"
    itk.imwrite(itk.image_from_array(np.ascontiguousarray(scan_hu.T)), str(path), compression=compress)
    check_header(path)
    path.write_bytes(path.read_bytes()[:-200])
    with pytest.raises(ValueError, match=r"scan.*truncated.*expected \d+ bytes.*found \d+"):
        check_header(path)


def test_a_short_data_file_beside_a_metaimage_header_is_refused(tmp_path: Path, scan_hu: np.ndarray) -> None:
    itk.imwrite(itk.image_from_array(np.ascontiguousarray(scan_hu.T)), str(tmp_path / "scan.mhd"))
    raw = tmp_path / "scan.raw"
    raw.write_bytes(raw.read_bytes()[:-2])
    with pytest.raises(ValueError, match=r"scan\.raw: truncated: expected 1440 bytes, found 1438"):
        check_header(tmp_path / "scan.mhd")
    raw.unlink()
    with pytest.raises(FileNotFoundError, match=r"scan\.mhd: its data file .*scan\.raw does not exist"):
        check_header(tmp_path / "scan.mhd")


def test_a_gzip_stream_of_several_members_is_complete(tmp_path: Path, scan_hu: np.ndarray) -> None:
    path = tmp_path / "scan.nii"
    itk.imwrite(itk.image_from_array(np.ascontiguousarray(scan_hu.T)), str(path))
    content = path.read_bytes()
    path.unlink()
    packed = tmp_path / "scan.nii.gz"
    packed.write_bytes(gzip.compress(content[:500]) + gzip.compress(content[500:]))  # its last four bytes are no total
    assert check_header(packed).shape == scan_hu.shape
