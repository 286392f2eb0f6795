"""Average the weights of a network while it is trained."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ignite.engine import Engine, Events
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel


class WeightAverage:
    """Exponential moving average of a network's weights, by PyTorch's AveragedModel, after each iteration.

    Its state, which a checkpoint must hold, counts the iterations: the decay rises from 0.1 to `decay`, so that the
    average of a short run is not its first weights. (Ignite's EMAHandler begins its warm-up anew when a run resumes.)

    Args:
        network: the network in training, also within DistributedDataParallel.
        decay: of the average, per iteration.
    """

    def __init__(self, *, network: nn.Module, decay: float) -> None:
        self.trained: nn.Module = getattr(network, "module", network)
        self.decay = decay
        self.average = AveragedModel(self.trained, avg_fn=self._mean)

    @property
    def network(self) -> nn.Module:
        """The network with the averaged weights."""
        module: nn.Module = self.average.module
        return module

    def attach(self, engine: Engine) -> None:
        """Follow a trainer."""
        engine.add_event_handler(Events.ITERATION_COMPLETED, self.update)

    def update(self) -> None:
        """Take in the present weights."""
        self.average.update_parameters(self.trained)

    def state_dict(self) -> dict[str, Any]:
        """Averaged weights and number of iterations."""
        return self.average.state_dict()

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Restore the average of an earlier run."""
        self.average.load_state_dict(state)

    def _mean(self, average: Tensor, weights: Tensor, count: Tensor | int) -> Tensor:
        decay = min(self.decay, (1 + int(count)) / (10 + int(count)))
        return average.lerp(weights, 1 - decay)
