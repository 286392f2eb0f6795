"""Base of our Ignite metric handlers: cases as dictionaries."""

from __future__ import annotations

from abc import abstractmethod
from typing import Any

from ignite.engine import Engine
from ignite.metrics.metric import reinit__is_reduced
from monai.handlers import IgniteMetricHandler

Case = dict[str, Any]


def engine_cases(engine: Engine) -> list[Case]:
    """The decollated cases of this iteration, with inputs and results.

    MONAI's engines store the loaded data in `state.batch` and the results of network and postprocessing in
    `state.output`; a metric needs both (landmarks and mapped landmarks).
    """
    return [{**batch, **output} for batch, output in zip(engine.state.batch, engine.state.output, strict=True)]


class CaseMetricHandler(IgniteMetricHandler):
    """Updates its metric case by case; Ignite's default passes pairs of output tensors only."""

    @abstractmethod
    def arguments(self, case: Case) -> dict[str, Any]:
        """Arguments of the metric for one case: `y_pred`, `y` and other keywords, each a list of one tensor."""

    def iteration_completed(self, engine: Engine) -> None:
        """Score the cases of this iteration."""
        self.update(engine_cases(engine))

    @reinit__is_reduced
    def update(self, output: list[Case]) -> None:
        """Score cases."""
        for case in output:
            self.metric_fn(**self.arguments(case))
