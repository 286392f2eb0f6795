"""How soon commands answer that need no network: their help, the fault of a header, a folder of 500 DICOM slices.

The tests check why these are fast (no heavy imports, each header read once). Seconds depend on the machine and its
other work, so they are measured here.
"""

from __future__ import annotations

import logging
import sys
import tempfile
from pathlib import Path

from scripts.benchmark.resources.process import Cost, run_measured

log = logging.getLogger(__name__)

ROOT = Path(__file__).absolute().parents[3]
NUM_SLICES = 500
LIMITS_S = {"help": 2.0, "header fault": 2.0, "500 slices": 3.0}  # of CPU, imports included
REFUSE = """
import runpy, sys
try:
    runpy.run_module("scripts.register", run_name="__main__", alter_sys=True)
except SystemExit as stopped:
    sys.exit(stopped.code != 2)
"""
READ_SLICES = f"""
import sys
from bundle.formats.dicom import find_volume
assert len(find_volume(sys.argv[1]).frames) == {NUM_SLICES}
"""


def measure_response() -> dict[str, Cost]:
    """Wall time, CPU seconds and memory of each answer, by its name in `LIMITS_S`; logs those above the limit."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        _write_slices(folder / "dicom")
        (folder / "scan.nii").write_bytes(bytes(400))
        refused = ["--fixed", str(folder / "scan.nii"), "--moving", str(folder / "scan.nii"), "--output_dir", name]
        commands = {
            "help": ["-m", "scripts.register", "--help"],
            "header fault": ["-c", REFUSE, *refused],
            "500 slices": ["-c", READ_SLICES, str(folder / "dicom")],
        }
        costs = {
            answer: run_measured([sys.executable, *command], folder=folder, cwd=ROOT, environment={})
            for answer, command in commands.items()
        }
    for answer, cost in costs.items():
        state = "" if cost.cpu_s <= LIMITS_S[answer] else f", above the limit of {LIMITS_S[answer]:g} s"
        log.info("%s: %.2f s of CPU, %.2f s, %.0f MiB%s", answer, cost.cpu_s, cost.time_s, cost.peak_memory_mib, state)
    return costs


def _write_slices(folder: Path) -> None:
    import numpy as np
    from pydicom.dataset import Dataset, FileMetaDataset
    from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, generate_uid

    folder.mkdir()
    series, study, frame = generate_uid(), generate_uid(), generate_uid()
    for index in range(NUM_SLICES):
        item = Dataset()
        item.SOPClassUID, item.SOPInstanceUID = CTImageStorage, generate_uid()
        item.SeriesInstanceUID, item.StudyInstanceUID, item.FrameOfReferenceUID = series, study, frame
        item.Modality, item.PatientID, item.InstanceNumber = "CT", "benchmark", index + 1
        item.ImagePositionPatient, item.ImageOrientationPatient = [0.0, 0.0, 2.0 * index], [1, 0, 0, 0, 1, 0]
        item.PixelSpacing, item.Rows, item.Columns = [1.0, 1.0], 64, 64
        item.BitsAllocated = item.BitsStored = 16
        item.HighBit, item.PixelRepresentation, item.SamplesPerPixel = 15, 1, 1
        item.PhotometricInterpretation, item.RescaleSlope, item.RescaleIntercept = "MONOCHROME2", 1, 0
        item.PixelData = np.zeros((64, 64), np.int16).tobytes()
        item.file_meta = FileMetaDataset()
        item.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
        item.save_as(folder / f"{index:03d}.dcm", enforce_file_format=True)
