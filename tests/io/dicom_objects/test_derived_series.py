from __future__ import annotations

from pathlib import Path

import numpy as np
import pydicom
import pytest
import SimpleITK as sitk

from bundle.io.dicom_objects.derived_series import contributing_slices, write_derived_series
from tests.io.dicom_objects.conftest import FIXED_SHAPE, Series


@pytest.fixture
def warped_hu() -> np.ndarray:
    warped = np.random.default_rng(2).uniform(-1000, 3000, FIXED_SHAPE).astype(np.float32)
    warped[0, 0, 0], warped[1, 0, 0] = 1e6, -1e6
    return warped


@pytest.fixture
def written(fixed: Series, moving: Series, warped_hu: np.ndarray, tmp_path: Path) -> Path:
    (tmp_path / "warped").mkdir()
    sources = [range(index, index + 2) for index in range(FIXED_SHAPE[2])]
    write_derived_series(tmp_path / "warped", warped_hu, fixed.slices, moving.slices, sources)
    return tmp_path / "warped"


def read_series(folder: Path) -> sitk.Image:
    reader = sitk.ImageSeriesReader()
    reader.SetFileNames(reader.GetGDCMSeriesFileNames(str(folder)))
    return reader.Execute()


def test_itk_reads_the_hounsfield_units_on_the_fixed_scans_grid(
    written: Path, fixed: Series, warped_hu: np.ndarray
) -> None:
    warped, like = read_series(written), read_series(fixed.folder)
    for attribute in ("Size", "Origin", "Spacing", "Direction"):
        assert getattr(warped, f"Get{attribute}")() == getattr(like, f"Get{attribute}")()
    hu = sitk.GetArrayFromImage(warped).transpose(2, 1, 0)
    np.testing.assert_array_equal(hu, np.rint(warped_hu).clip(-32768, 32767))


def test_every_slice_is_a_derived_image_of_a_new_series(written: Path, fixed: Series, moving: Series) -> None:
    slices = [pydicom.dcmread(file) for file in sorted(written.iterdir())]
    assert len({slice_.SeriesInstanceUID for slice_ in slices}) == 1
    assert len({slice_.SOPInstanceUID for slice_ in slices}) == len(fixed.slices)
    assert slices[0].SeriesInstanceUID not in (fixed.slices[0].SeriesInstanceUID, moving.slices[0].SeriesInstanceUID)
    for index, slice_ in enumerate(slices):
        assert slice_.ImageType[:2] == ["DERIVED", "SECONDARY"]
        assert slice_.SeriesDescription == "exhale (warped)"
        assert slice_.DerivationDescription
        assert slice_.FrameOfReferenceUID == fixed.slices[0].FrameOfReferenceUID
        assert slice_.PatientPosition == "HFS"
        assert slice_.KVP == 120
        sources = [item.ReferencedSOPInstanceUID for item in slice_.SourceImageSequence]
        assert sources == [source.SOPInstanceUID for source in moving.slices[index : index + 2]]
        assert slice_.ReferencedImageSequence[0].ReferencedSOPInstanceUID == fixed.slices[index].SOPInstanceUID


def test_a_shift_along_the_slices_names_the_slices_it_reads(fixed: Series) -> None:
    affine = fixed.affine.numpy()
    displacement_mm = np.zeros((3, *FIXED_SHAPE))
    assert contributing_slices(displacement_mm, affine, affine, 10) == [range(k, k + 1) for k in range(10)]
    displacement_mm += (2.5 * affine[:3, 2]).reshape(3, 1, 1, 1)
    sources = contributing_slices(displacement_mm, affine, affine, 10)
    assert sources[:7] == [range(index + 2, index + 4) for index in range(7)]
    assert sources[8:] == [range(9, 10)] * 2  # beyond the last slice


def test_an_oblique_fixed_slice_reads_every_moving_slice_it_crosses() -> None:
    tilted = np.eye(4)
    tilted[2, 0] = 0.5  # half a moving slice a row
    tilted[2, 3] = 0.25
    assert contributing_slices(np.zeros((3, 5, 3, 1)), tilted, np.eye(4), 10) == [range(0, 4)]
