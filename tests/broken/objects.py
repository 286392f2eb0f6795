"""Broken weights, displacement fields, DICOM folders and DIR-Lab volumes."""

from __future__ import annotations

import os
import pickle
import shutil
from io import BytesIO
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import torch

from bundle.networks import RRN
from tests.broken.case import Collection
from tests.broken.nifti import valid, with_fields
from tests.formats.dicom.conftest import edit

RECIPE = Path(__file__).parents[2] / "models" / "model.json"


class Malicious:
    """Code that a pickle runs."""

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, ("pwned",)


def add_objects(to: Collection) -> None:
    """Weights of another network or with code, fields of other shapes, bad DICOM."""
    recipe = RECIPE.read_bytes()
    state = RRN().state_dict()
    renamed = {f"net.{name}": value for name, value in state.items()}
    reshaped = {name: value.flatten() for name, value in state.items()}
    contents: dict[str, bytes] = {
        "empty": b"",
        "text": b"these are no weights",
        "zeros": bytes(2000),
        "pickled code": pickle.dumps(Malicious()),
        "pickled code by torch": _saved(Malicious()),
        "pickled code in a state dict": _saved({"weight": Malicious()}),
        "a list": _saved([1, 2, 3]),
        "a tensor": _saved(torch.zeros(3)),
        "a number": _saved(3),
        "a dict of numbers": _saved({"weight": 3}),
        "no tensors": _saved({}),
        "a checkpoint without its network": _saved({"optimizer": {}, "epoch": 3}),
        "another network": _saved(torch.nn.Linear(3, 4).state_dict()),
        "other names": _saved(renamed),
        "other shapes": _saved(reshaped),
        "other values": _saved(state),
        "cut short": _saved(state)[:5000],
        "a damaged archive": _saved(state)[:-100] + bytes(100),
        "a whole network": _saved(torch.nn.Linear(3, 4)),
    }
    for name, content in contents.items():
        to.add(f"weights: {name}", "weights", "model.pt", content, model_json=recipe)
    to.add("weights without a recipe", "weights", "model.pt", _saved(state))
    to.add_path("no weights", "weights", to.folder / "none.pt")
    _add_fields(to)
    _add_dicom(to)
    for name, size in (("short", 100), ("empty", 0), ("long", 2 * 512 * 512 * 121 + 2)):
        to.add(f"dirlab: {name}", "dirlab", "copd1_iBHCT.img", bytes(size))


def _add_fields(to: Collection) -> None:
    to.add("displacement: a scan", "displacement", "field.nii", valid())
    to.add("displacement: empty", "displacement", "field.nii.gz", b"")
    to.add("displacement: text", "displacement", "field.nii.gz", "this is no field")
    to.add_path("no displacement", "displacement", to.folder / "none.nii.gz")
    vectors = nib.Nifti1Image(np.zeros((8, 9, 10, 1, 3), np.float32), np.eye(4))
    vectors.header.set_intent("vector")
    whole = vectors.to_bytes()
    for cut in (100, 352, len(whole) // 2, len(whole) - 1):
        to.add(f"displacement: cut at byte {cut}", "displacement", "field.nii", whole[:cut])
    to.add("displacement: huge", "displacement", "field.nii", with_fields(content=whole, dim_1=30000, dim_2=30000))
    to.add(
        "displacement: spacing nan",
        "displacement",
        "field.nii",
        with_fields(content=whole, forms=False, pixdim_1=np.nan),
    )
    data = bytearray(whole)
    data[-4:] = np.float32(np.nan).tobytes()
    to.add("displacement: nan", "displacement", "field.nii", bytes(data))
    two = nib.Nifti1Image(np.zeros((8, 9, 10, 1, 2), np.float32), np.eye(4))
    two.header.set_intent("vector")
    to.add("displacement: of 2-vectors", "displacement", "field.nii", two.to_bytes())


def _add_dicom(to: Collection) -> None:
    from tests.io.conftest import make_affine, write_dicom_series

    stored = np.random.default_rng(0).integers(0, 1500, (8, 9, 10)).astype(np.int16)

    def series(name: str) -> list[Path]:
        folder = to.folder / f"dicom{len(to.cases):03d}"
        files = [Path(file) for file in write_dicom_series(folder, stored, make_affine())]
        to.add_path(f"dicom: {name}", "image", folder, mentions="")
        return files

    empty = to.folder / "dicom_empty"
    empty.mkdir()
    to.add_path("dicom: an empty folder", "image", empty)
    files = series("text")
    for file in files:
        file.write_text("this is no DICOM")
    for name, cut in (("cut in the preamble", 100), ("cut in the header", 300), ("cut in the voxels", -20)):
        files = series(name)
        files[3].write_bytes(files[3].read_bytes()[:cut])
    series("a slice is missing")[4].unlink()
    files = series("a slice twice")
    shutil.copy(files[4], files[4].with_name("copy.dcm"))
    for name, change in DICOM_CHANGES.items():
        for file in series(name):
            edit(file, **change)


DICOM_CHANGES: dict[str, dict[str, Any]] = {
    "no voxels": {"PixelData": None},
    "no position": {"ImagePositionPatient": None},
    "no orientation": {"ImageOrientationPatient": None},
    "no spacing": {"PixelSpacing": None},
    "spacing zero": {"PixelSpacing": ["0", "1"]},
    "position words": {"ImagePositionPatient": ["0", "0", "0"]},
    "orientation zero": {"ImageOrientationPatient": ["0"] * 6},
    "no rows": {"Rows": None},
    "rows zero": {"Rows": 0},
    "rows huge": {"Rows": 65535, "Columns": 65535},
    "three samples": {"SamplesPerPixel": 3, "PhotometricInterpretation": "RGB"},
    "eight bits of sixteen": {"BitsAllocated": 64},
}


def _saved(content: Any) -> bytes:
    buffer = BytesIO()
    torch.save(content, buffer)
    return buffer.getvalue()
