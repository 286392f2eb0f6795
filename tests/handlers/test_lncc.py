from __future__ import annotations

from collections.abc import Callable

import torch
from monai.engines import SupervisedEvaluator

from bundle.handlers import LNCC
from tests.handlers.cases import make_case


def test_evaluator_reports_the_correlation_before_and_after(evaluate: Callable[..., SupervisedEvaluator]) -> None:
    generator = torch.Generator().manual_seed(0)
    fixed, moving = torch.rand(2, 1, 10, 11, 12, generator=generator)
    case = make_case("case", none=1, aligned=1, registered=1)
    case |= {"fixed": fixed, "moving": moving, "later_warped": fixed, "mask": torch.ones_like(fixed)}
    metrics = {
        "lncc": LNCC(mask="mask"),
        "lncc_before": LNCC(warped="moving", window_vox=5),
    }
    state = evaluate([case], metrics).state
    assert state.metrics["lncc"] > 0.98
    assert state.metrics["lncc_before"] < 0.2
