from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from bundle.io import read_displacement
from scripts.benchmark_alignment import align
from tests.conftest import SyntheticPair


@pytest.mark.slow
def test_the_field_is_the_translation_that_fits_the_lungs_best(
    synthetic_pair: Callable[..., SyntheticPair], tmp_path: Path
) -> None:
    pair = synthetic_pair()
    align(**{key: pair.item[key] for key in ("fixed", "moving", "fixed_mask", "moving_mask")}, out=str(tmp_path))
    field_mm, _ = read_displacement(tmp_path / "displacement.nii.gz")
    assert field_mm.shape == (3, 48, 44, 42)
    shift_mm = field_mm[:, 10, 11, 12]
    torch.testing.assert_close(field_mm, shift_mm.view(3, 1, 1, 1).expand_as(field_mm), atol=2e-3, rtol=0)
    best_mm = (pair.moving_mm - pair.fixed_mm).mean(dim=0)
    assert (shift_mm - best_mm).norm() < 6.0  # the truth turns and stretches too; without alignment: 41 mm
