from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from monai.data import MetaTensor
from torch import Tensor

from bundle.quality import examine, gather_evidence
from bundle.transforms import ResultsOnNativeGridsd, ResultsOnNetworkGridd
from tests.grids import make_affine, rotation
from tests.quality.test_vessel_residual import vessels

SHAPE, SPACING_MM = (44, 40, 48), (2.0, 2.5, 3.0)
GRID = make_affine(SHAPE, SPACING_MM)
BOX = (slice(8, 36), slice(8, 32), slice(10, 38))


def volume(values: Tensor) -> MetaTensor:
    return MetaTensor(values[None].clone(), affine=GRID)


def make_pair(moving: Tensor, shift_vox: tuple[float, float, float], affine: Tensor | None = None) -> dict[str, Any]:
    """A pair of equal grids with a constant ddf, both lungs the same box at rest, and the scores that precede."""
    lungs = torch.zeros(SHAPE, dtype=torch.uint8)
    lungs[BOX] = 1
    affine = torch.eye(4, dtype=torch.float64) if affine is None else affine
    pair = {
        "fixed": volume(vessels()),
        "moving": volume(moving),
        "fixed_mask": volume(lungs),
        "moving_mask": volume(lungs),
        "mask_net": volume(lungs.float()),
        "image": torch.stack([vessels(), moving]),
        "pred": torch.tensor(shift_vox).view(3, 1, 1, 1).expand(3, *SHAPE).clone(),
        "grid_to_fixed": GRID,
        "grid_to_moving": affine @ GRID,
        "initial_affine": affine,
        "fixed_lungs_found": True,
        "moving_lungs_found": True,
        "lncc_aligned": 0.25,
        "lncc_registered": 0.75,
        "folding_percent": 0.5,
    }
    return ResultsOnNativeGridsd()(ResultsOnNetworkGridd()(pair))


def test_a_scan_on_itself_is_beyond_doubt() -> None:
    found = gather_evidence(make_pair(vessels(), (0.0, 0.0, 0.0)))
    assert (found.lungs_missing, found.volume_ratio, found.lung_overlap, found.lungs_covered) == (0.0, 1.0, 1.0, 1.0)
    assert (found.lncc, found.lncc_gain, found.folding_percent) == (0.75, 0.5, 0.5)
    assert found.vessels_matched == 1.0
    assert found.vessel_residual_mm < 0.5
    assert found.inverse_consistency_mm < 1e-3
    assert (found.scale_change, found.displacement_mm) == (1.0, 0.0)
    assert found.rotation_deg < 1e-3


def test_a_translation_is_measured_in_millimetres_and_its_error_at_the_vessels() -> None:
    right = gather_evidence(make_pair(vessels().roll(2, dims=2), (0.0, 0.0, 2.0)))
    assert right.displacement_mm == pytest.approx(2 * SPACING_MM[2], abs=1e-4)
    assert right.vessels_matched > 0.98
    inside = BOX[2].stop - BOX[2].start
    assert right.lung_overlap == pytest.approx(1 - 2 / inside, abs=1e-6)  # the box of the moving mask did not move
    wrong = gather_evidence(make_pair(vessels(), (0.0, 0.0, 2.0)))
    assert wrong.vessel_residual_mm == pytest.approx(2 * SPACING_MM[2], abs=0.5)
    assert wrong.vessels_matched < 0.1


def test_lungs_that_leave_the_moving_scan_are_not_covered() -> None:
    found = gather_evidence(make_pair(vessels(), (24.0, 0.0, 0.0)))  # x of the box: 8 to 35, of the scan: 0 to 43
    assert found.lungs_covered == pytest.approx(12 / 28, abs=0.02)


def test_the_initial_alignment_has_a_scale_and_a_rotation() -> None:
    affine = rotation(0.0, 0.0, 12.0) @ torch.diag(torch.tensor([1.0, 1.0, 0.8, 1.0], dtype=torch.float64))
    found = gather_evidence(make_pair(vessels(), (0.0, 0.0, 0.0), affine))
    assert found.scale_change == pytest.approx(1.25)
    assert found.rotation_deg == pytest.approx(12.0)


def test_an_inverse_that_is_wrong_by_a_millimetre_is_inconsistent_by_one() -> None:
    pair = make_pair(vessels(), (0.0, 0.0, 0.0))
    vectors = torch.linalg.inv(pair["grid_to_fixed"][:3, :3]).float() @ torch.tensor([0.0, 1.0, 0.0])  # of 1 mm
    pair["inverse_ddf"] = pair["inverse_ddf"] + vectors.view(3, 1, 1, 1)
    assert gather_evidence(pair).inverse_consistency_mm == pytest.approx(1.0, abs=1e-3)


def test_the_mass_of_lungs_is_their_volume_times_their_density() -> None:
    pair = make_pair(vessels(), (0.0, 0.0, 0.0))
    for key, hu in (("fixed", -800.0), ("moving", -700.0)):
        pair[key] = volume(torch.full(SHAPE, hu))
    assert gather_evidence(pair).mass_ratio == pytest.approx(0.3 / 0.2)
    half = pair["moving_mask"].as_tensor().clone()
    half[:, :22] = 0  # 14 of the 28 voxels of the box
    assert gather_evidence({**pair, "moving_mask": volume(half[0])}).mass_ratio == pytest.approx(0.75)


def test_volumes_and_missing_lungs_are_counted() -> None:
    pair = make_pair(vessels(), (0.0, 0.0, 0.0))
    pair["moving_mask"] = volume(torch.ones(SHAPE, dtype=torch.uint8))
    found = gather_evidence({**pair, "moving_lungs_found": torch.tensor(False)})
    assert found.lungs_missing == 1.0
    assert found.volume_ratio == pytest.approx(math.prod(SHAPE) / (28 * 24 * 28))


def test_the_evidence_summarises_the_residuals() -> None:
    evidence, residuals = examine(make_pair(vessels(), (0.0, 0.0, 2.0)))
    shifts_mm = residuals.vessels.matched_shift_mm
    assert evidence.vessel_residual_mm == pytest.approx(float(shifts_mm.quantile(0.75)))
    assert evidence.inverse_consistency_mm == pytest.approx(float(residuals.inverse_mm.quantile(0.95)))
    assert shifts_mm.median() == pytest.approx(6.0, abs=1.0)  # the shift that was wrongly added
    assert len(residuals.inverse_mm) > 1000
