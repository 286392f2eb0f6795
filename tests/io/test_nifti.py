import subprocess
import zlib
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import SimpleITK as sitk

from bundle.io import nifti


@pytest.mark.parametrize("in_memory", ["C", "F"])
def test_the_file_is_one_gzip_member_without_a_time(tmp_path: Path, scan_hu: np.ndarray, in_memory: str) -> None:
    path = tmp_path / "scan.nii.gz"
    image = nib.Nifti1Image(np.array(scan_hu, order=in_memory), np.eye(4))
    nifti.save_nifti(path, image)
    single = zlib.decompressobj(wbits=31)
    assert single.decompress(path.read_bytes()) == image.to_bytes()
    assert single.eof
    assert not single.unused_data
    assert path.read_bytes()[4:8] == bytes(4)
    np.testing.assert_array_equal(nib.load(path).dataobj, scan_hu)
    subprocess.run(["gzip", "-t", path], check=True)


@pytest.mark.parametrize("suffix", [".nii", ".nii.gz"])
def test_readers_multiply_the_stored_numbers_by_the_step(tmp_path: Path, suffix: str) -> None:
    stored = np.arange(-30, 30, dtype=np.int16).reshape(3, 4, 5)
    path = tmp_path / f"jacobian{suffix}"
    nifti.save_nifti(path, nib.Nifti1Image(stored, np.eye(4)), step=0.25)
    np.testing.assert_array_equal(nib.load(path).get_fdata(), stored * 0.25)
    np.testing.assert_array_equal(sitk.GetArrayFromImage(sitk.ReadImage(path)), stored.T * 0.25)
    assert nib.load(path).get_data_dtype() == np.int16
