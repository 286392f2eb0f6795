from __future__ import annotations

import math

import pytest
import torch

from bundle.reports import score_case, score_pair

SPACED = torch.diag(torch.tensor([1.0, 1.0, 2.5, 1.0], dtype=torch.float64))


def test_every_stage_is_scored_exactly_and_on_the_moving_scans_voxels() -> None:
    moving = torch.tensor([[0.0, 0, 0], [3, 4, 5]], dtype=torch.float64)
    shift = torch.tensor([0.0, 0, 1], dtype=torch.float64)
    score = score_case(
        "case",
        fixed_mm=moving + 9 * shift,
        moving_mm=moving,
        aligned_mm=moving + 3.9 * shift,
        mapped_mm=moving + 1.2 * shift,
        moving_affine=SPACED,
    )
    assert [stage.mean_mm for stage in score.continuous] == pytest.approx([9.0, 3.9, 1.2])
    assert [stage.mean_mm for stage in score.snapped] == pytest.approx([10.0, 5.0, 0.0])


def test_a_row_is_flat_and_complete() -> None:
    moving = torch.zeros(4, 3)
    mapped = torch.tensor([[1.0, 0, 0], [2, 0, 0], [3, 0, 0], [6, 0, 0]])
    row = score_case(
        "case",
        fixed_mm=mapped,
        moving_mm=moving,
        aligned_mm=mapped,
        mapped_mm=mapped,
        moving_affine=torch.eye(4),
        folding_percent=0.25,
        sd_log_jacobian=0.1,
        time_s=12.0,
    ).row()
    assert row["name"] == "case"
    assert row["landmarks"] == 4
    expected = {
        "tre_mm": 3.0,
        "tre_std_mm": math.sqrt(3.5),
        "tre_median_mm": 2.5,
        "tre_p95_mm": 5.55,
        "tre_max_mm": 6.0,
    }
    expected |= {"folding_percent": 0.25, "sd_log_jacobian": 0.1, "time_s": 12.0}
    expected |= {f"snapped_{key}": value for key, value in expected.items() if key.startswith("tre")}
    assert {key: row[key] for key in expected} == pytest.approx(expected)


def test_landmarks_that_do_not_match_name_the_case() -> None:
    sets = {key: torch.zeros(3, 3) for key in ("fixed_mm", "aligned_mm", "mapped_mm")}
    with pytest.raises(ValueError, match=r"copd7: mapped_mm and moving_mm: .* got \(3, 3\) and \(2, 3\)"):
        score_case("copd7", moving_mm=torch.zeros(2, 3), moving_affine=torch.eye(4), **sets)


def test_a_pair_is_scored_by_its_keys_and_without_landmarks_by_the_rest() -> None:
    moving = torch.zeros(3, 3)
    landmarks = {f"{key}_landmarks": moving + shift for key, shift in (("fixed", 3), ("aligned", 2), ("mapped", 1))}
    pair = {"name": "pair", "moving_affine": SPACED, "folding_percent": 0.5, "time_s": torch.tensor(8.0)}
    score = score_pair({**pair, **landmarks, "moving_landmarks": moving})
    assert [stage.mean_mm for stage in score.continuous] == pytest.approx([3 * 3**0.5, 2 * 3**0.5, 3**0.5])
    for incomplete in (pair, {**pair, **landmarks}):
        score = score_pair(incomplete)
        assert score.row()["landmarks"] == 0
        assert (score.folding_percent, score.time_s) == (0.5, 8.0)
        assert math.isnan(score.sd_log_jacobian)
