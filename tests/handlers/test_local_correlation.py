from __future__ import annotations

from collections.abc import Callable

import torch
from monai.engines import SupervisedEvaluator

from bundle.handlers import LocalCorrelation
from tests.handlers.cases import make_case


def test_evaluator_reports_the_correlation_before_and_after(evaluate: Callable[..., SupervisedEvaluator]) -> None:
    generator = torch.Generator().manual_seed(0)
    fixed, moving = torch.rand(2, 1, 10, 11, 12, generator=generator)
    case = make_case("case", none=1, aligned=1, registered=1)
    case |= {"fixed": fixed, "moving": moving, "later_warped": fixed, "mask": torch.ones_like(fixed)}
    metrics = {
        "lcc": LocalCorrelation(mask="mask"),
        "lcc_before": LocalCorrelation(warped="moving", window_vox=5),
    }
    state = evaluate([case], metrics).state
    assert state.metrics["lcc"] > 0.98
    assert state.metrics["lcc_before"] < 0.2
