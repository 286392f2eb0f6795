"""Small pairs that are registered in seconds, and scans that cannot be."""

from __future__ import annotations

import json
import os
from pathlib import Path

import nibabel as nib
import numpy as np
import torch

from bundle.io import write_image
from bundle.synthetic.phantom import make_phantom

QUICK = {"refine": "none", "spacing_mm": 6.0}
SAME = ("transform.h5", "inverse_transform.h5", "warped.nii.gz", "jacobian.nii.gz")  # of the same pair, always
SIDE = 1250  # voxels of a scan whose memory no worker gets: 3.6 GiB on 16 bits


def write_pairs(folder: Path, count: int) -> list[dict[str, str]]:
    """Phantoms, smaller than a child, and their pairs.json."""
    pairs = []
    for number in range(count):
        case = make_phantom(300 + number, spacing_mm=(3.5, 3.0, 3.0), body_scale=0.5)
        name = f"pair_{number}"
        for key in ("fixed", "moving"):
            voxels, affine = getattr(case, key), torch.from_numpy(getattr(case, f"{key}_affine"))
            write_image(folder / f"{name}_{key}.nii.gz", voxels, affine, dtype=np.int16)
        pairs.append({"name": name, **{key: str(folder / f"{name}_{key}.nii.gz") for key in ("fixed", "moving")}})
    write_list(folder / "pairs.json", pairs)
    return pairs


def write_list(file: Path, pairs: list[dict[str, str]]) -> Path:
    file.write_text(json.dumps({"test": pairs}))
    return file


def write_huge(path: Path) -> Path:
    """A scan of zeros whose file takes no disk."""
    header = nib.Nifti1Header()
    header.set_data_dtype(np.int16)
    header.set_data_shape((SIDE, SIDE, SIDE))
    header.set_xyzt_units("mm")
    header.set_zooms((0.3, 0.3, 0.3))
    header.set_sform(np.diag([0.3, 0.3, 0.3, 1.0]), code=1)
    header["vox_offset"], header["magic"] = 352, b"n+1"
    path.write_bytes(header.binaryblock + bytes(4))
    os.truncate(path, 352 + 2 * SIDE**3)
    return path


def contents(folder: Path) -> dict[str, bytes]:
    """What every registration of a pair must give again, byte by byte."""
    return {name: (folder / name).read_bytes() for name in SAME}
