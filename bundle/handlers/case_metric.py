"""What our Ignite metric handlers share: cases as dictionaries."""

from __future__ import annotations

from abc import abstractmethod
from typing import Any

from ignite.engine import Engine
from ignite.metrics.metric import reinit__is_reduced
from monai.handlers import IgniteMetricHandler

Case = dict[str, Any]


def engine_cases(engine: Engine) -> list[Case]:
    """The decollated cases of this iteration, inputs and results together.

    MONAI's engines keep what the data set loaded in `state.batch` and what the network and the postprocessing add in
    `state.output`; a metric needs both (landmarks are loaded, mapped landmarks computed).
    """
    return [{**batch, **output} for batch, output in zip(engine.state.batch, engine.state.output, strict=True)]


class CaseMetricHandler(IgniteMetricHandler):
    """Feeds its metric case by case; ignite's own way passes pairs of tensors from the output only."""

    @abstractmethod
    def arguments(self, case: Case) -> dict[str, Any]:
        """What the metric is called with for one case: `y_pred`, `y` and further keywords, lists of one tensor each."""

    def iteration_completed(self, engine: Engine) -> None:
        """Score the cases of this iteration."""
        self.update(engine_cases(engine))

    @reinit__is_reduced
    def update(self, output: list[Case]) -> None:
        """Score cases."""
        for case in output:
            self.metric_fn(**self.arguments(case))
