from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from bundle.io import read_image, write_image
from bundle.transforms.load_image_series import LoadImageSeriesd
from tests.formats.dicom.conftest import IDENTITY, hu, write_series


def test_each_scan_is_of_the_series_that_the_pair_names(tmp_path: Path) -> None:
    """Both scans in one folder, as on a disc; the mask is a file."""
    write_series(tmp_path / "disc" / "a", seed=1, SeriesDescription="inhale")
    write_series(tmp_path / "disc" / "b", seed=2, SeriesDescription="exhale")
    write_image(tmp_path / "mask.nii.gz", np.ones((8, 9, 10)), IDENTITY, dtype=np.uint8)
    pair = {
        "fixed": str(tmp_path / "disc"),
        "moving": str(tmp_path / "disc"),
        "fixed_series": "INHALE",
        "moving_series": "exhale",
        "fixed_mask": str(tmp_path / "mask.nii.gz"),
        "name": "disc",
    }
    keys = ["fixed", "moving", "fixed_mask", "moving_mask"]
    loaded = LoadImageSeriesd(keys, allow_missing_keys=True)(pair)
    np.testing.assert_array_equal(loaded["fixed"][0].numpy(), hu(1))
    np.testing.assert_array_equal(loaded["moving"][0].numpy(), hu(2))
    torch.testing.assert_close(loaded["fixed"].affine, IDENTITY, atol=1e-4, rtol=0)
    assert loaded["fixed"].dtype == loaded["fixed_mask"].dtype == torch.float32
    assert loaded["fixed_mask"].shape == (1, 8, 9, 10)
    assert (loaded["name"], loaded["fixed_series"]) == ("disc", "INHALE")
    assert loaded["fixed"].meta["filename_or_obj"] == str(tmp_path / "disc")


def test_files_are_read_as_by_read_image(tmp_path: Path) -> None:
    write_image(tmp_path / "scan.nii.gz", hu(), IDENTITY, dtype=np.int16)
    loaded, expected = (
        LoadImageSeriesd("fixed")({"fixed": tmp_path / "scan.nii.gz"}),
        read_image(tmp_path / "scan.nii.gz"),
    )
    torch.testing.assert_close(loaded["fixed"].as_tensor(), expected.as_tensor(), atol=0, rtol=0)
    torch.testing.assert_close(loaded["fixed"].affine, expected.affine, atol=0, rtol=0)


def test_no_other_reader_guesses_after_a_refusal(tmp_path: Path) -> None:
    """MONAI's own loader would go on with a reader that mixes the slices of both."""
    write_series(tmp_path / "a", seed=1)
    write_series(tmp_path / "b", seed=2)
    with pytest.raises(ValueError, match="expected one CT series, found 2; choose one by"):
        LoadImageSeriesd("fixed")({"fixed": tmp_path})


def test_a_missing_key_is_an_error() -> None:
    with pytest.raises(KeyError, match="fixed"):
        LoadImageSeriesd("fixed")({"moving": "a.nii.gz"})
