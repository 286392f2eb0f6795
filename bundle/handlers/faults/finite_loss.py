"""Stop a training whose loss or gradient is not finite, before the weights are."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import ignite.distributed as idist
import torch
from ignite.engine import Engine
from monai.engines import IterationEvents
from monai.utils import CommonKeys

from bundle.io.atomic import atomic_path


class FiniteLoss:
    """After each backward pass, raise an error that names the pair, and save the state before the optimiser's step.

    Mixed precision scales the loss so that gradients may overflow: there only the loss is checked.

    Args:
        directory: for `diverged_epoch=E.pth`: the state, names and loss, as tensors and plain values.
        state: what to save, by name: network, optimizer, ...
    """

    def __init__(self, *, directory: str | Path, state: Mapping[str, Any]) -> None:
        self.directory = Path(directory)
        self.state = state

    def attach(self, engine: Engine) -> None:
        """Follow one of MONAI's trainers."""
        engine.add_event_handler(IterationEvents.BACKWARD_COMPLETED, self)

    def __call__(self, engine: Engine) -> None:
        """Check the iteration. Raises: ValueError."""
        loss = engine.state.output[CommonKeys.LOSS].detach()
        has_scaler = getattr(engine, "amp", False) and getattr(engine, "scaler", None) is not None
        has_finite_loss = bool(torch.isfinite(loss).all())
        has_finite_gradient = has_scaler or _is_gradient_finite(engine)
        if has_finite_loss and has_finite_gradient:
            return
        names = ", ".join(engine.state.batch["name"])
        culprits = "" if has_finite_loss else names
        if not has_finite_gradient and idist.get_world_size() > 1:  # all processes have the same gradient
            culprits = ", ".join(filter(None, idist.all_gather(culprits)))
        what = f"loss of pair {culprits}" if culprits else f"gradient after pair {names}"
        path = self.directory / f"diverged_epoch={engine.state.epoch}.pth"
        if idist.get_rank() == 0:
            self.directory.mkdir(parents=True, exist_ok=True)
            state = {name: part.state_dict() for name, part in self.state.items()}
            with atomic_path(path) as temporary:
                torch.save({**state, "pairs": culprits or names, "loss": float(loss)}, temporary)
        raise ValueError(
            f"{what}: not finite in epoch {engine.state.epoch}, iteration {engine.state.iteration}; the state before "
            f"this step is in {path}. Check the pair, or lower the learning rate and start again"
        )


def _is_gradient_finite(engine: Engine) -> bool:
    gradients = [weight.grad.detach() for weight in engine.network.parameters() if weight.grad is not None]
    return bool(torch.isfinite(torch.stack([gradient.abs().amax() for gradient in gradients])).all())
