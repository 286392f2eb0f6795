from __future__ import annotations

from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import torch

from bundle.formats.nifti import check_nifti
from bundle.io import check_header, read_image
from tests.broken.nifti import valid, with_fields

MM_PER_UNIT = {"mm": 1.0, "meter": 1e3, "micron": 1e-3}


@pytest.mark.parametrize("unit", MM_PER_UNIT)
@pytest.mark.parametrize(("sform", "qform"), [(1, 1), (1, 0), (0, 1), (0, 0)])
def test_every_unit_gives_the_same_scan(tmp_path: Path, unit: str, sform: int, qform: int) -> None:
    affine = np.diag([-0.7, -1.1, 2.5, 1.0])
    affine[:3, 3] = 150, 120, -30
    affine[:3] /= MM_PER_UNIT[unit]
    image = nib.Nifti1Image(np.arange(720, dtype=np.int16).reshape(8, 9, 10), affine)
    image.set_sform(affine, sform)
    image.set_qform(affine, qform)
    image.header.set_xyzt_units(unit)
    nib.save(image, tmp_path / "scan.nii")
    assert check_nifti(tmp_path / "scan.nii").spacing_mm == pytest.approx((0.7, 1.1, 2.5))
    expected = torch.diag(torch.tensor([-0.7, -1.1, 2.5, 1.0], dtype=torch.float64))
    if sform or qform:
        expected[:3, 3] = torch.tensor([150, 120, -30])
    for found in (check_header(tmp_path / "scan.nii").affine, read_image(tmp_path / "scan.nii").affine):
        torch.testing.assert_close(found.double(), expected, atol=1e-4, rtol=0)


def test_the_header_says_what_the_file_holds(tmp_path: Path) -> None:
    (tmp_path / "scan.nii").write_bytes(valid())
    header = check_nifti(tmp_path / "scan.nii")
    assert header.shape == (8, 9, 10)
    assert header.has_position
    (tmp_path / "scan.nii").write_bytes(with_fields(forms=False))
    assert not check_nifti(tmp_path / "scan.nii").has_position


def test_an_unknown_unit_is_refused(tmp_path: Path) -> None:
    (tmp_path / "scan.nii").write_bytes(with_fields(xyzt_units=7))
    with pytest.raises(ValueError, match=r"scan\.nii: expected lengths in m, mm or micron, got xyzt_units 7"):
        check_nifti(tmp_path / "scan.nii")


@pytest.mark.parametrize("datatype", [32, 1792, 1536, 0])
def test_complex_and_other_voxels_are_refused(tmp_path: Path, datatype: int) -> None:
    (tmp_path / "scan.nii").write_bytes(with_fields(datatype=datatype))
    with pytest.raises(ValueError, match=r"scan\.nii: (expected real numbers|cannot be read as NIfTI)"):
        check_nifti(tmp_path / "scan.nii")


def test_a_field_of_vectors_passes_where_one_is_expected(tmp_path: Path) -> None:
    field = nib.Nifti1Image(np.zeros((8, 9, 10, 1, 3), np.float32), np.eye(4))
    nib.save(field, tmp_path / "field.nii")
    assert check_nifti(tmp_path / "field.nii", 3).shape == (8, 9, 10)
    with pytest.raises(ValueError, match="expected one 3-D volume"):
        check_nifti(tmp_path / "field.nii")
