from pathlib import Path

import numpy as np
import pydicom
import pytest
import torch
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, generate_uid
from scipy.spatial.transform import Rotation
from torch import Tensor

SHAPE = (8, 9, 10)


def make_affine(
    *, flip: tuple[int, int, int] = (1, 1, 1), angles_deg: tuple[float, float, float] = (20, -15, 35)
) -> Tensor:
    """Anisotropic, far from the origin; RAS mm."""
    affine = np.eye(4)
    affine[:3, :3] = Rotation.from_euler("xyz", angles_deg, degrees=True).as_matrix() * flip * [0.7, 1.1, 2.5]
    affine[:3, 3] = [-153.8, 120.4, -1434.5]
    return torch.from_numpy(affine)


@pytest.fixture
def oblique() -> Tensor:
    return make_affine()


@pytest.fixture
def scan_hu() -> np.ndarray:
    return np.random.default_rng(0).integers(-1000, 500, SHAPE).astype(np.int16)


def write_dicom_series(
    folder: Path, stored: np.ndarray, affine: Tensor, *, intercept: int = 0, **attributes: str
) -> list[Path]:
    """One CT series, one file per slice along the last axis; `affine` must be right-handed in LPS, as DICOM is.

    `attributes`: further DICOM attributes, or other values, of every slice.
    """
    folder.mkdir(parents=True, exist_ok=True)
    lps = np.diag([-1.0, -1.0, 1.0, 1.0]) @ affine.numpy()
    spacing = np.linalg.norm(lps[:3, :3], axis=0)
    cosines = lps[:3, :3] / spacing
    series_uid, study_uid, frame_uid = generate_uid(), generate_uid(), generate_uid()
    files = []
    for index in range(stored.shape[2]):
        data = pydicom.Dataset()
        data.file_meta = pydicom.dataset.FileMetaDataset()
        data.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
        data.SOPClassUID, data.SOPInstanceUID = CTImageStorage, generate_uid()
        data.StudyInstanceUID, data.SeriesInstanceUID, data.FrameOfReferenceUID = study_uid, series_uid, frame_uid
        data.Modality, data.SeriesDate, data.SeriesNumber, data.InstanceNumber = "CT", "20200101", 1, index + 1
        data.ImagePositionPatient = [f"{value:.8g}" for value in lps[:3, :3] @ [0, 0, index] + lps[:3, 3]]
        data.ImageOrientationPatient = [f"{value:.10g}" for value in (*cosines[:, 0], *cosines[:, 1])]
        data.PixelSpacing = [f"{spacing[1]:.10g}", f"{spacing[0]:.10g}"]  # rows first
        data.SliceThickness = f"{spacing[2]:.10g}"
        data.Columns, data.Rows = stored.shape[:2]
        data.SamplesPerPixel, data.PhotometricInterpretation = 1, "MONOCHROME2"
        data.BitsAllocated, data.BitsStored, data.HighBit, data.PixelRepresentation = 16, 16, 15, 1
        data.RescaleSlope, data.RescaleIntercept = 1, intercept
        data.update(attributes)
        data.PixelData = np.ascontiguousarray(stored[:, :, index].T).tobytes()
        files.append(folder / f"{index:03d}.dcm")
        data.save_as(files[-1], enforce_file_format=True)
    return files
