from __future__ import annotations

import math
from collections.abc import Callable

import pytest
from monai.engines import SupervisedEvaluator

from bundle.handlers import TargetRegistrationError
from tests.handlers.cases import make_case

Evaluate = Callable[..., SupervisedEvaluator]


def test_evaluator_reports_the_mean_over_cases_of_each_stage(evaluate: Evaluate) -> None:
    cases = [
        make_case("first", none=10.0, aligned=4.0, registered=1.0, landmarks=3),
        make_case("second", none=20.0, aligned=6.0, registered=2.5, landmarks=300),
    ]
    metrics = {
        "tre_mm": TargetRegistrationError(),
        "tre_aligned_mm": TargetRegistrationError(points="aligned_landmarks"),
        "tre_none_mm": TargetRegistrationError(points="fixed_landmarks"),
    }
    state = evaluate(cases, metrics).state
    assert state.metrics == pytest.approx({"tre_mm": 1.75, "tre_aligned_mm": 5.0, "tre_none_mm": 15.0})
    assert state.best_metric == pytest.approx(1.75)
    assert state.metric_details["tre_mm"][:, -1].tolist() == [3, 300]


def test_snapped_error_is_that_of_the_nearest_voxel(evaluate: Evaluate) -> None:
    cases = [make_case("case", none=9.0, aligned=3.2, registered=0.9)]  # voxels of 2 mm along the shift
    state = evaluate(cases, {"tre_mm": TargetRegistrationError(snapped=True)}).state
    assert state.metrics["tre_mm"] == pytest.approx(0.0, abs=1e-9)
    state = evaluate(cases, {"tre_mm": TargetRegistrationError(points="aligned_landmarks", snapped=True)}).state
    assert state.metrics["tre_mm"] == pytest.approx(4.0)


def test_cases_without_landmarks_do_not_count(evaluate: Evaluate) -> None:
    bare = make_case("bare", none=9.0, aligned=9.0, registered=9.0)
    del bare["moving_landmarks"]
    state = evaluate(
        [make_case("case", none=9.0, aligned=3.0, registered=1.5), bare], {"tre_mm": TargetRegistrationError()}
    ).state
    assert state.metrics["tre_mm"] == pytest.approx(1.5)
    assert math.isnan(state.metric_details["tre_mm"][1, 0])


def test_every_run_of_one_evaluator_starts_anew(evaluate: Evaluate) -> None:
    evaluator = evaluate(
        [make_case("case", none=9.0, aligned=3.0, registered=1.5)], {"tre_mm": TargetRegistrationError()}
    )
    evaluator.run()
    assert len(evaluator.state.metric_details["tre_mm"]) == 1
