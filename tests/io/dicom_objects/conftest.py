from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np
import pydicom
import pytest
from pydicom import Dataset
from torch import Tensor

from tests.io.conftest import make_affine, write_dicom_series

FIXED_SHAPE, MOVING_SHAPE = (8, 9, 10), (7, 6, 12)


class Series(NamedTuple):
    """A series on disk: its slices in order, its HU (H, W, D) and its affine (4, 4), RAS mm."""

    folder: Path
    slices: list[Dataset]
    hu: np.ndarray
    affine: Tensor


def make_series(folder: Path, shape: tuple[int, int, int], seed: int, **attributes: str) -> Series:
    """Noise on an oblique grid whose pixels are no squares; the first slice is all positive."""
    affine = make_affine(angles_deg=(20, -15, 35 + seed))
    hu = np.random.default_rng(seed).integers(-1000, 500, shape).astype(np.int16)
    hu[..., 0] = np.abs(hu[..., 0]) + 1
    files = write_dicom_series(folder, hu + 1024, affine, intercept=-1024, **attributes)
    return Series(folder, [pydicom.dcmread(file) for file in files], hu, affine)


@pytest.fixture
def fixed(tmp_path: Path) -> Series:
    return make_series(
        tmp_path / "fixed",
        FIXED_SHAPE,
        seed=0,
        SeriesDescription="inhale",
        SpecificCharacterSet="ISO_IR 100",
        PatientName="Müller^Jörg",
        PatientID="17",
        PatientPosition="HFS",
        StudyDescription="Überprüfung",
        AccessionNumber="A1",
    )


@pytest.fixture
def moving(tmp_path: Path) -> Series:
    return make_series(tmp_path / "moving", MOVING_SHAPE, seed=1, SeriesDescription="exhale", PatientID="17", KVP="120")
