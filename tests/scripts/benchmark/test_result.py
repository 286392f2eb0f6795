from __future__ import annotations

import json
import math
from pathlib import Path

import pytest
import torch

from bundle.geometry import apply_affine
from scripts.benchmark.result import BenchmarkResult, score_field
from tests.grids import make_affine, voxel_centres_mm
from tests.scripts.benchmark.cases import make_result

SHAPE = (12, 10, 9)
OBLIQUE = make_affine(SHAPE, (2.0, 1.5, 3.0), angles_deg=(10, -5, 20), centre_mm=(30.0, -20.0, -900.0))
POINTS_MM = apply_affine(OBLIQUE, torch.tensor([[2.25, 3.5, 4.0], [8.0, 6.5, 5.75], [5.0, 5.0, 3.3]]).double())


def linear_field_mm(matrix: torch.Tensor) -> torch.Tensor:
    """u(x) = (M - 1) (x - c) + t on the oblique grid."""
    positions_mm = voxel_centres_mm(SHAPE, OBLIQUE)
    return (apply_affine(matrix, positions_mm) - positions_mm).T.reshape(3, *SHAPE).float()


def test_a_linear_field_carries_points_between_voxels_of_an_oblique_grid_exactly() -> None:
    matrix = torch.eye(4, dtype=torch.float64)
    matrix[:3, :3] += torch.tensor([[0.02, 0.01, 0.0], [-0.03, 0.05, 0.01], [0.0, 0.02, -0.04]])
    matrix[:3, 3] = torch.tensor([5.0, -7.0, -30.0])
    score = score_field(
        linear_field_mm(matrix),
        OBLIQUE,
        fixed_mm=POINTS_MM,
        moving_mm=apply_affine(matrix, POINTS_MM) + torch.tensor([0.0, 3.0, 4.0]),
        fixed_mask=torch.ones(SHAPE),
    )
    assert score.tre_mm == pytest.approx([5.0, 5.0, 5.0], abs=1e-3)
    assert score.folding_percent == 0
    assert score.sd_log_jacobian == pytest.approx(0, abs=1e-3)


def test_folding_counts_inside_the_mask_only() -> None:
    mirror = torch.diag(torch.tensor([-1.0, 1.0, 1.0, 1.0], dtype=torch.float64))
    field_mm = linear_field_mm(mirror)
    field_mm[:, 6:] = 0
    mask = torch.zeros(SHAPE)
    mask[:3] = 1  # far from the step
    mask[9:] = 1
    score = score_field(field_mm, OBLIQUE, fixed_mm=POINTS_MM, moving_mm=POINTS_MM, fixed_mask=mask)
    assert score.folding_percent == 50


def test_a_result_survives_its_file_and_nan_becomes_null(tmp_path: Path) -> None:
    result = make_result(time_s=math.nan)
    result.write(tmp_path / "result.json")
    assert json.loads((tmp_path / "result.json").read_text())["time_s"] is None
    again = BenchmarkResult.read(tmp_path / "result.json")
    assert math.isnan(again.time_s)
    assert again.tre_mm == result.tre_mm
    assert again.method == result.method


def test_a_file_that_is_no_result_is_named(tmp_path: Path) -> None:
    (tmp_path / "other.json").write_text('{"method": "rrn"}')
    with pytest.raises(ValueError, match=r"other\.json: expected an object with case, data"):
        BenchmarkResult.read(tmp_path / "other.json")
