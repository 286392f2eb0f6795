"""Result of one method on one pair: scores of its field and cost, stored in a JSON file."""

from __future__ import annotations

import json
import math
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

from bundle.geometry import apply_affine, jacobian_determinant, sample_points
from bundle.io.atomic import atomic_path
from bundle.metrics import compute_tre_mm, folding_percent, sd_log_jacobian


class FieldScore(NamedTuple):
    """Scores of a displacement field, computed identically for every method."""

    tre_mm: list[float]
    folding_percent: float
    sd_log_jacobian: float


@dataclass(frozen=True)
class BenchmarkResult:
    """One file `DATA/CASE/METHOD.json`.

    Args:
        data, case, method: names of the data set, the pair and the method.
        initial_mm: TRE of each landmark before registration.
        tre_mm: TRE of each landmark after registration, continuous.
        folding_percent, sd_log_jacobian: of the whole transform on the fixed grid, inside the fixed lung mask.
        time_s: wall time of the method's process from start to end; NaN without a process.
        peak_memory_mib: peak resident memory of that process; NaN without a process.
        machine: hardware of the run.
        settings: digest of the command and its files; a result is valid while they are unchanged.
    """

    data: str
    case: str
    method: str
    initial_mm: list[float]
    tre_mm: list[float]
    folding_percent: float
    sd_log_jacobian: float
    time_s: float
    peak_memory_mib: float
    machine: str
    settings: str

    def write(self, path: Path) -> None:
        """Write the file atomically; NaN becomes null."""
        record = {key: None if value != value else value for key, value in asdict(self).items()}
        with atomic_path(path) as temporary:
            temporary.write_text(json.dumps(record, indent=1) + "\n")

    @classmethod
    def read(cls, path: Path) -> BenchmarkResult:
        """Read the file. Raises: ValueError if it is not a result."""
        record: Any = json.loads(path.read_text())
        expected = {field.name for field in fields(cls)}
        if not isinstance(record, dict) or record.keys() != expected:
            raise ValueError(f"{path}: expected an object with {', '.join(sorted(expected))}, got {record!r:.80}")
        known: dict[str, Any] = {key: math.nan if value is None else value for key, value in record.items()}
        return cls(**known)


def score_field(
    displacement_mm: Tensor, affine: Tensor, *, fixed_mm: Tensor, moving_mm: Tensor, fixed_mask: Tensor
) -> FieldScore:
    """Score a dense field, interpolated trilinearly at the landmarks.

    Args:
        displacement_mm: (3, H, W, D), RAS mm, on the fixed grid.
        affine: (4, 4), voxel to RAS mm, of that grid.
        fixed_mm, moving_mm: (N, 3) landmarks, RAS mm.
        fixed_mask: (H, W, D), fixed lung mask.
    Raises: ValueError if the landmark sets differ in length, or the mask is empty or on another grid.
    """
    jacobian = jacobian_determinant(displacement_mm, affine)
    return FieldScore(
        compute_tre_mm(map_by_field(displacement_mm, affine, fixed_mm), moving_mm).tolist(),
        folding_percent(jacobian, fixed_mask),
        sd_log_jacobian(jacobian, fixed_mask),
    )


def map_by_field(displacement_mm: Tensor, affine: Tensor, points_mm: Tensor) -> Tensor:
    """Map points (N, 3), RAS mm, by a dense field (3, H, W, D) on the grid of `affine`, interpolated trilinearly."""
    points_vox = apply_affine(torch.linalg.inv(affine.double()), points_mm.double())
    return points_mm.double() + sample_points(displacement_mm, points_vox.T.float()).T.double()
