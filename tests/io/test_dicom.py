from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from bundle.io import check_header, read_image
from tests.io.conftest import SHAPE, make_affine, write_dicom_series


@pytest.mark.parametrize("angles_deg", [(0, 0, 180), (20, -15, 35)])
def test_a_series_is_read_in_hounsfield_units_on_its_oblique_grid(
    tmp_path: Path, scan_hu: np.ndarray, angles_deg: tuple[float, float, float]
) -> None:
    affine = make_affine(angles_deg=angles_deg)
    write_dicom_series(tmp_path / "series", scan_hu + 1024, affine, intercept=-1024)
    header = check_header(tmp_path / "series")
    assert header.shape == SHAPE
    assert header.spacing_mm == pytest.approx((0.7, 1.1, 2.5), abs=1e-4)
    torch.testing.assert_close(header.affine, affine, atol=1e-3, rtol=0)
    image = read_image(tmp_path / "series")
    torch.testing.assert_close(image.affine, header.affine, atol=1e-5, rtol=0)
    np.testing.assert_array_equal(image[0].numpy(), scan_hu)


def test_slices_are_ordered_by_position_not_by_name(tmp_path: Path, scan_hu: np.ndarray, oblique: Tensor) -> None:
    files = write_dicom_series(tmp_path / "series", scan_hu, oblique)
    for index, file in enumerate(files):
        file.rename(file.with_name(f"slice{(index * 7) % 10}.dcm"))
    np.testing.assert_array_equal(read_image(tmp_path / "series")[0].numpy(), scan_hu)


def test_two_series_in_a_folder_are_refused_and_listed(tmp_path: Path, scan_hu: np.ndarray, oblique: Tensor) -> None:
    for file in write_dicom_series(tmp_path / "series", scan_hu, oblique):
        file.rename(file.with_name(f"a{file.name}"))
    write_dicom_series(tmp_path / "series", scan_hu[..., :4], oblique)
    with pytest.raises(ValueError, match=r"expected one DICOM series per folder, got 2: .*10 files, e\.g\. a000\.dcm"):
        check_header(tmp_path / "series")


@pytest.mark.parametrize("index", [1, 5])
def test_a_missing_slice_is_refused(tmp_path: Path, scan_hu: np.ndarray, oblique: Tensor, index: int) -> None:
    write_dicom_series(tmp_path / "series", scan_hu, oblique)[index].unlink()
    with pytest.raises(ValueError, match=r"slices are missing, .* 5\.000 mm between 00\d\.dcm and 00\d\.dcm"):
        check_header(tmp_path / "series")


def test_a_folder_without_dicom_is_refused(tmp_path: Path) -> None:
    (tmp_path / "note.txt").write_text("nothing")
    with pytest.raises(FileNotFoundError, match="no DICOM file in this folder"):
        check_header(tmp_path)


def test_a_single_slice_is_refused(tmp_path: Path, scan_hu: np.ndarray, oblique: Tensor) -> None:
    write_dicom_series(tmp_path / "series", scan_hu[..., :1], oblique)
    with pytest.raises(ValueError, match=r"series: expected one 3-D volume, got an image of shape \(8, 9, 1\)"):
        check_header(tmp_path / "series")
