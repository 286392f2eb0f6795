from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch
from monai.engines import SupervisedEvaluator

from bundle.handlers import JacobianStatistic
from tests.handlers.cases import make_case


def test_evaluator_reports_folding_and_sd_log_jacobian(evaluate: Callable[..., SupervisedEvaluator]) -> None:
    jacobian = torch.full((1, 4, 5, 6), 2.0)
    jacobian[:, :2] = 0.5
    folded = jacobian.clone()
    folded[0, 0, 0, :3] = -1.0
    cases = []
    for name, determinant in (("regular", jacobian), ("folded", folded)):
        mask = torch.ones(1, 4, 5, 6)
        cases.append(make_case(name, none=1, aligned=1, registered=1) | {"later_jacobian": determinant, "mask": mask})
    metrics = {
        "folding_percent": JacobianStatistic(statistic="folding_percent", mask="mask"),
        "sd_log_jacobian": JacobianStatistic(statistic="sd_log_jacobian", mask="mask"),
    }
    state = evaluate(cases, metrics).state
    assert state.metrics["folding_percent"] == pytest.approx(100 * 3 / 120 / 2)
    assert state.metric_details["sd_log_jacobian"][0, 0].item() == pytest.approx(math.log(2))
