from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from bundle.geometry import apply_affine, sample_points
from bundle.io import read_displacement
from bundle.io.displacement import PRECISION_MM
from scripts.benchmark.alignment import align
from tests.conftest import SyntheticPair


@pytest.mark.slow
def test_the_field_is_an_affine_that_brings_the_landmarks_close(
    synthetic_pair: Callable[..., SyntheticPair], tmp_path: Path
) -> None:
    pair = synthetic_pair()
    align(**{key: pair.item[key] for key in ("fixed", "moving", "fixed_mask", "moving_mask")}, output_dir=str(tmp_path))
    field_mm, affine = read_displacement(tmp_path / "displacement.nii.gz")
    assert field_mm.shape == (3, 48, 44, 42)
    for axis in (1, 2, 3):
        bend_mm = field_mm.diff(n=2, dim=axis).abs().max()  # none of an affine but the rounding of a - 2b + c
        assert bend_mm <= 2 * PRECISION_MM
    fixed_vox = apply_affine(torch.linalg.inv(affine), pair.fixed_mm)
    mapped_mm = pair.fixed_mm + sample_points(field_mm, fixed_vox.T.float()).T
    before_mm, after_mm = ((pair.moving_mm - points).norm(dim=1).mean() for points in (pair.fixed_mm, mapped_mm))
    assert before_mm > 40
    assert after_mm < 1.0
