"""Reader of DIR-Lab's COPDgene and 4DCT cases as distributed (Castillo et al. 2009, 2013; see docs/data.md).

Volumes are headerless int16, little-endian, x fastest, HU = raw - 1024; landmark rows are 1-based voxel indices. Voxel
axes run right to left, anterior to posterior, superior to inferior: direction diag(1, 1, -1) in ITK's LPS. The voxel
order is kept, so a landmark row minus 1 indexes the array; the first voxel is at the origin.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from bundle.io.headers import ImageHeader
from bundle.resample import AIR_HU

Collection = Literal["COPDgene", "4DCT"]
Role = Literal["fixed", "moving", "fixed_landmarks", "moving_landmarks"]

SLICE_MM = 2.5
HU_OFFSET = 1024

GRIDS: dict[
    Collection, dict[int, tuple[int, int, int, float]]
] = {  # published voxels along x, y, z and mm along x and y
    "COPDgene": {
        1: (512, 512, 121, 0.625),
        2: (512, 512, 102, 0.645),
        3: (512, 512, 126, 0.652),
        4: (512, 512, 126, 0.590),
        5: (512, 512, 131, 0.647),
        6: (512, 512, 119, 0.633),
        7: (512, 512, 112, 0.625),
        8: (512, 512, 115, 0.586),
        9: (512, 512, 116, 0.664),
        10: (512, 512, 135, 0.742),
    },
    "4DCT": {
        1: (256, 256, 94, 0.97),
        2: (256, 256, 112, 1.16),
        3: (256, 256, 104, 1.15),
        4: (256, 256, 99, 1.13),
        5: (256, 256, 106, 1.10),
        6: (512, 512, 128, 0.97),
        7: (512, 512, 136, 0.97),
        8: (512, 512, 128, 0.97),
        9: (512, 512, 128, 0.97),
        10: (512, 512, 120, 0.97),
    },
}
PREFIXES: dict[Collection, str] = {"COPDgene": "copd", "4DCT": "4dct"}

# File names differ between cases and are matched in lower case: case1_T00_s.img, case2_T00-ssm.img, case6_T00.img,
# Case1_300_T00_xyz.txt, case6_dirLab300_T00_xyz.txt. Inhale (T00) is fixed, exhale (T50) moving.
PATTERNS: tuple[tuple[Collection, bool, re.Pattern[str]], ...] = (  # collection, landmarks?, case number and phase
    ("COPDgene", False, re.compile(r"copd(\d+)_([ie])bhct\.img")),
    ("COPDgene", True, re.compile(r"copd(\d+)_300_([ie])bh_xyz_r1\.txt")),
    ("4DCT", False, re.compile(r"case(\d+)_t(00|50)(?:_s|-ssm)?\.img")),
    ("4DCT", True, re.compile(r"case(\d+)_(?:dirlab)?300_t(00|50)_xyz\.txt")),
)
FIXED_PHASES = ("i", "00")


@dataclass
class DirlabCase:
    """Files of one case by role; the case is complete if each role has exactly one file."""

    collection: Collection
    number: int
    files: dict[Role, list[Path]] = field(default_factory=dict)

    @property
    def name(self) -> str:
        return f"{PREFIXES[self.collection]}{self.number}"

    @property
    def shape(self) -> tuple[int, int, int]:
        return GRIDS[self.collection][self.number][:3]

    @property
    def affine(self) -> Tensor:
        """(4, 4), voxels to RAS mm."""
        xy_mm = GRIDS[self.collection][self.number][3]
        return torch.diag(torch.tensor([-xy_mm, -xy_mm, -SLICE_MM, 1.0], dtype=torch.float64))

    def file(self, role: Role) -> Path:
        """The only file of a role. Raises: FileNotFoundError if there is none, ValueError if there are several."""
        found = self.files.get(role, [])
        if not found:
            raise FileNotFoundError(f"{self.name}: the {role.replace('_', ' ')} file is missing")
        if len(found) > 1:
            files = ", ".join(map(str, found))
            raise ValueError(f"{self.name}: expected one {role.replace('_', ' ')} file, got {len(found)}: {files}")
        return found[0]

    def header(self, role: Role) -> ImageHeader:
        """Published grid of a volume, for `bundle.io.read_landmarks_mm`."""
        return ImageHeader(str(self.file(role)), self.shape, self.affine)

    def read_volume_hu(self, role: Role) -> np.ndarray:
        """Read a volume (H, W, D), int16 HU, padding set to air. Raises: ValueError if the file size is wrong."""
        path = self.file(role)
        expected = int(np.prod(self.shape)) * 2
        if path.stat().st_size != expected:
            raise ValueError(
                f"{path}: expected {expected} bytes ({' x '.join(map(str, self.shape))} voxels of 2 bytes), "
                f"found {path.stat().st_size}"
            )
        raw = np.fromfile(path, dtype="<i2").reshape(self.shape, order="F")
        # negative raw values are padding outside the field of view (-2000), not CT numbers
        return np.where(raw < 0, np.int16(AIR_HU), raw - np.int16(HU_OFFSET))


def find_cases(source: str | Path) -> list[DirlabCase]:
    """Find DIR-Lab files in `source`, at any depth, and return all cases of their collections, missing ones empty.

    Raises: FileNotFoundError if the folder does not exist or has no DIR-Lab file.
    """
    source = Path(source)
    if not source.is_dir():
        raise FileNotFoundError(f"{source}: no such folder")
    found: dict[Collection, dict[int, DirlabCase]] = {}
    for collection, number, role, path in _scan(source):
        empty = {case: DirlabCase(collection, case) for case in GRIDS[collection]}
        found.setdefault(collection, empty)[number].files.setdefault(role, []).append(path)
    if not found:
        raise FileNotFoundError(f"{source}: expected files such as copd1_iBHCT.img or case1_T00_s.img, got none")
    return [case for collection in GRIDS if collection in found for case in found[collection].values()]


def _scan(source: Path) -> Iterator[tuple[Collection, int, Role, Path]]:
    for path in sorted(source.rglob("*")):
        for collection, is_landmarks, pattern in PATTERNS:
            match = pattern.fullmatch(path.name.lower())
            if match and int(match[1]) in GRIDS[collection] and path.is_file():
                if match[2] in FIXED_PHASES:
                    yield collection, int(match[1]), "fixed_landmarks" if is_landmarks else "fixed", path
                else:
                    yield collection, int(match[1]), "moving_landmarks" if is_landmarks else "moving", path
