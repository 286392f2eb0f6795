"""A MONAI evaluator on hand-made cases: the network's part is played by the data itself."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from monai.data import DataLoader
from monai.engines import SupervisedEvaluator

from tests.handlers.cases import Case, reveal


@pytest.fixture
def evaluate() -> Callable[..., SupervisedEvaluator]:
    """Run an evaluator over cases, one a batch, with the given metrics (the first is the key metric) and handlers."""

    def run(cases: list[Case], metrics: dict[str, Any], *handlers: Any) -> SupervisedEvaluator:
        evaluator = SupervisedEvaluator(
            device=torch.device("cpu"),
            val_data_loader=DataLoader(cases, batch_size=1),
            network=torch.nn.Identity(),
            prepare_batch=lambda batch, *_, **__: (batch["image"], None),
            postprocessing=reveal,
            key_val_metric=dict([next(iter(metrics.items()))]),
            additional_metrics=dict(list(metrics.items())[1:]),
            metric_cmp_fn=lambda current, best: current < best,
            val_handlers=list(handlers),
        )
        evaluator.run()
        return evaluator

    return run
