"""Limit the gradient of a training step."""

from __future__ import annotations

from ignite.engine import Engine
from monai.engines.utils import IterationEvents
from torch import nn
from torch.nn.utils import clip_grad_norm_


class GradientClip:
    """PyTorch's clip_grad_norm_ between the backward pass and the step of the optimiser.

    Args:
        network: whose gradient is limited.
        max_norm: largest norm of the gradient of all weights.
    """

    def __init__(self, *, network: nn.Module, max_norm: float) -> None:
        self.network = network
        self.max_norm = max_norm

    def attach(self, engine: Engine) -> None:
        """Follow a MONAI trainer."""
        engine.add_event_handler(IterationEvents.BACKWARD_COMPLETED, self)

    def __call__(self, engine: Engine) -> None:
        """Limit the gradient; with mixed precision on a GPU it is unscaled first."""
        scaler = getattr(engine, "scaler", None)
        if scaler is not None:
            scaler.unscale_(engine.optimizer)
        clip_grad_norm_(self.network.parameters(), self.max_norm)
