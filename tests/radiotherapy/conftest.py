"""Structure sets, doses and result folders as treatment planning systems and registrations write them."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pydicom
import pytest
import torch
from pydicom import Dataset
from pydicom.dataset import FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, RTDoseStorage, RTStructureSetStorage, generate_uid
from torch import Tensor

from bundle.geometry import WorldTransform
from bundle.io import ImageHeader, content_sha256, read_image, write_transform
from bundle.io.dicom_objects import Source, find_source
from tests.formats.dicom.conftest import set_attributes
from tests.grids import make_affine
from tests.io.conftest import write_dicom_series

FIXED_SHAPE, MOVING_SHAPE = (40, 44, 24), (46, 38, 26)
CENTRE_MM = (-12.0, 30.0, -900.0)
SHIFT_MM = (4.0, -3.0, 6.5)  # RAS: fixed to moving points


class Scan(NamedTuple):
    """A DICOM series of noise."""

    folder: Path
    source: Source

    @property
    def grid(self) -> ImageHeader:
        columns, rows, slices = self.source.volume.grid.size
        return ImageHeader(str(self.folder), (columns, rows, slices), self.source.affine)


def make_scan(folder: Path, shape: tuple[int, int, int], affine: Tensor, seed: int = 0, **attributes: Any) -> Scan:
    hu = np.random.default_rng(seed).integers(-1000, 500, shape).astype(np.int16)
    write_dicom_series(folder, hu, affine, PatientID="17", PatientName="Doe^Jane", **attributes)
    return Scan(folder, find_source(folder))


@pytest.fixture
def fixed(tmp_path: Path) -> Scan:
    """Oblique."""
    affine = make_affine(FIXED_SHAPE, (2.0, 1.5, 3.0), angles_deg=(8, -5, 180), centre_mm=CENTRE_MM)
    return make_scan(tmp_path / "fixed", FIXED_SHAPE, affine)


@pytest.fixture
def moving(tmp_path: Path) -> Scan:
    """Axial, as most scans are."""
    centre = tuple(np.add(CENTRE_MM, SHIFT_MM).tolist())
    affine = make_affine(MOVING_SHAPE, (1.5, 1.5, 2.5), angles_deg=(0, 0, 180), centre_mm=centre)
    return make_scan(tmp_path / "moving", MOVING_SHAPE, affine, seed=1)


def write_result(folder: Path, fixed: Scan, moving: Scan, verdict: str = "good") -> Path:
    """The result folder of a registration that found a translation by `SHIFT_MM`."""
    folder.mkdir()
    grid = make_affine((6, 7, 8), (20.0, 20.0, 20.0), centre_mm=CENTRE_MM)
    shift = torch.eye(4, dtype=torch.float64)
    shift[:3, 3] = torch.tensor(SHIFT_MM)
    transform = WorldTransform(torch.zeros(1, 3, 6, 7, 8), grid, shift @ grid)
    write_transform(folder / "transform.h5", transform, fixed.grid.corners_mm)
    write_transform(folder / "inverse_transform.h5", transform.inverse(), moving.grid.corners_mm, field_last=True)
    scans = {"fixed": fixed, "moving": moving}
    report = {
        "name": "pair",
        "verdict": verdict,
        "reasons": ["the lungs do not overlap"] if verdict == "failed" else [],
        "versions": {"bundle": "0"},
        "settings": {},
        "files": {key: str(scan.folder) for key, scan in scans.items()},
        "sha256": {key: content_sha256(read_image(scan.folder)) for key, scan in scans.items()},
        "dicom_series": {key: {"series": scan.source.volume.series.uid, "phase": ""} for key, scan in scans.items()},
    }
    (folder / "report.json").write_text(json.dumps(report))
    return folder


@pytest.fixture
def result(fixed: Scan, moving: Scan, tmp_path: Path) -> Path:
    return write_result(tmp_path / "result", fixed, moving)


def new_object(sop_class: str, scan: Scan) -> Dataset:
    first = scan.source.slices[0]
    data = Dataset()
    data.SOPClassUID, data.SOPInstanceUID = sop_class, generate_uid()
    data.PatientID, data.StudyInstanceUID = first.PatientID, first.StudyInstanceUID
    data.SeriesInstanceUID = generate_uid()
    data.FrameOfReferenceUID = first.FrameOfReferenceUID
    data.file_meta = FileMetaDataset()
    data.file_meta.MediaStorageSOPClassUID, data.file_meta.MediaStorageSOPInstanceUID = sop_class, data.SOPInstanceUID
    data.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    return data


def write_structure_set(
    path: Path, scan: Scan, contours: Mapping[str, Sequence[np.ndarray]], kinds: Mapping[str, str] | None = None
) -> Path:
    """Structures drawn on a scan, numbered from 3; contours (N, 3) are LPS mm."""
    data = new_object(RTStructureSetStorage, scan)
    data.Modality, data.StructureSetLabel = "RTSTRUCT", "Plan A"
    series, study, frame = Dataset(), Dataset(), Dataset()
    series.SeriesInstanceUID = scan.source.volume.series.uid
    series.ContourImageSequence = [_reference(slice_) for slice_ in scan.source.slices]
    study.RTReferencedSeriesSequence = [series]
    frame.FrameOfReferenceUID, frame.RTReferencedStudySequence = data.FrameOfReferenceUID, [study]
    data.ReferencedFrameOfReferenceSequence = [frame]
    data.StructureSetROISequence, data.ROIContourSequence, data.RTROIObservationsSequence = [], [], []
    for number, (name, parts) in enumerate(contours.items(), 3):
        roi, drawn, observed = Dataset(), Dataset(), Dataset()
        roi.ROINumber, roi.ROIName, roi.ReferencedFrameOfReferenceUID = number, name, data.FrameOfReferenceUID
        roi.ROIGenerationAlgorithm = "MANUAL"
        drawn.ReferencedROINumber, drawn.ROIDisplayColor = number, [10 * number, 0, 255]
        drawn.ContourSequence = [_contour(points, (kinds or {}).get(name, "CLOSED_PLANAR")) for points in parts]
        observed.ObservationNumber, observed.ReferencedROINumber = number, number
        observed.RTROIInterpretedType, observed.ROIInterpreter = "GTV" if name == "tumour" else "ORGAN", ""
        data.StructureSetROISequence.append(roi)
        data.ROIContourSequence.append(drawn)
        data.RTROIObservationsSequence.append(observed)
    data.save_as(path, enforce_file_format=True)
    return path


def _reference(slice_: Dataset) -> Dataset:
    item = Dataset()
    item.ReferencedSOPClassUID, item.ReferencedSOPInstanceUID = slice_.SOPClassUID, slice_.SOPInstanceUID
    return item


def _contour(points: np.ndarray, kind: str) -> Dataset:
    item = Dataset()
    item.ContourGeometricType, item.NumberOfContourPoints = kind, len(points)
    item.ContourData = [f"{value:.3f}" for value in np.asarray(points).ravel()]
    return item


def lps_axes(affine: Tensor) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Unit axes (3, 3) in columns, spacing (3,) and origin (3,) of a grid, LPS mm."""
    lps = np.diag([-1.0, -1.0, 1.0, 1.0]) @ affine.numpy()
    spacing = np.linalg.norm(lps[:3, :3], axis=0)
    return lps[:3, :3] / spacing, spacing, lps[:3, 3]


def circle(radius_mm: float, centre: Sequence[float] = (0.0, 0.0), count: int = 180) -> np.ndarray:
    angles = np.linspace(0, 2 * np.pi, count, endpoint=False)
    return np.column_stack([np.cos(angles), np.sin(angles)]) * radius_mm + centre


def sphere(grid: ImageHeader, centre_mm: np.ndarray, radii_mm: Sequence[float]) -> list[np.ndarray]:
    """Contours of spheres, one in another, where they cross the slices of a grid; LPS mm."""
    axes, spacing, origin = lps_axes(grid.affine)
    contours = []
    for number in range(grid.shape[2]):
        at = origin + axes[:, 2] * spacing[2] * number
        across, along, height = (np.asarray(centre_mm) - at) @ axes
        for radius in radii_mm:
            if abs(height) < radius:
                ring = circle(np.sqrt(radius**2 - height**2), (across, along))
                contours.append(at + ring @ axes[:, :2].T)
    return contours


def centre_lps(grid: ImageHeader) -> np.ndarray:
    return grid.corners_mm.mean(dim=0).numpy() * [-1, -1, 1]


def write_dose_file(
    path: Path, scan: Scan, values: np.ndarray, affine: Tensor, bits: int = 32, **attributes: Any
) -> Path:
    """A dose (H, W, D), Gy, on a grid that is right-handed in LPS; `attributes` replace others, None removes one."""
    axes, spacing, origin = lps_axes(affine)
    data = new_object(RTDoseStorage, scan)
    data.Modality, data.DoseUnits, data.DoseType, data.DoseSummationType = "RTDOSE", "GY", "PHYSICAL", "PLAN"
    data.ImagePositionPatient = [f"{value:.10g}" for value in origin]
    data.ImageOrientationPatient = [f"{value:.10g}" for value in axes[:, :2].T.ravel()]
    data.PixelSpacing = [f"{spacing[1]:.10g}", f"{spacing[0]:.10g}"]
    data.Columns, data.Rows, data.NumberOfFrames = values.shape
    data.GridFrameOffsetVector = [f"{spacing[2] * frame:.10g}" for frame in range(values.shape[2])]
    data.FrameIncrementPointer = 0x3004000C
    data.SamplesPerPixel, data.PhotometricInterpretation, data.PixelRepresentation = 1, "MONOCHROME2", 0
    data.BitsAllocated, data.BitsStored, data.HighBit = bits, bits, bits - 1
    scale = f"{max(values.max(), 1e-3) / (2**bits - 2):.10e}"[:16]
    data.DoseGridScaling = scale
    data.PixelData = np.rint(values.transpose(2, 1, 0) / float(scale)).astype(f"<u{bits // 8}").tobytes()
    set_attributes(data, attributes)
    data.save_as(path, enforce_file_format=True)
    return path


def read_back(path: Path) -> Dataset:
    """A written object, without any warning of pydicom's."""
    return pydicom.dcmread(path)


@pytest.fixture
def drawn(moving: Scan, tmp_path: Path) -> Path:
    """Two organs, a tumour, a marker and an empty structure on the moving scan."""
    ball = sphere(moving.grid, centre_lps(moving.grid), [12.0, 5.0])
    structures = {"tumour": ball, "lung": ball[:3], "marker": [centre_lps(moving.grid)[None]], "later": []}
    return write_structure_set(tmp_path / "drawn.dcm", moving, structures, {"marker": "POINT"})
