import subprocess
import zlib
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from bundle.io import nifti


@pytest.mark.parametrize("chunk_bytes", [64, 1000, 1 << 23])
@pytest.mark.parametrize("strategy", [zlib.Z_DEFAULT_STRATEGY, zlib.Z_RLE])
def test_chunks_join_to_one_gzip_member(
    tmp_path: Path, scan_hu: np.ndarray, monkeypatch: pytest.MonkeyPatch, chunk_bytes: int, strategy: int
) -> None:
    monkeypatch.setattr(nifti, "CHUNK_BYTES", chunk_bytes)
    path = tmp_path / "scan.nii.gz"
    image = nib.Nifti1Image(scan_hu, np.eye(4))
    nifti.save_nifti(path, image, strategy=strategy)
    single = zlib.decompressobj(wbits=31)
    assert single.decompress(path.read_bytes()) == image.to_bytes()
    assert single.eof
    assert not single.unused_data
    np.testing.assert_array_equal(nib.load(path).dataobj, scan_hu)
    subprocess.run(["gzip", "-t", path], check=True)
