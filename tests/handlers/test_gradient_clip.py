from __future__ import annotations

import pytest
import torch
from monai.engines import SupervisedTrainer
from torch import nn

from bundle.handlers import GradientClip


@pytest.mark.parametrize(("max_norm", "expected"), [(1.0, 1.0), (100.0, 5.0)])
def test_the_step_takes_a_gradient_of_the_largest_norm_at_most(max_norm: float, expected: float) -> None:
    """Loss 3 a + 4 b: its gradient has norm 5; a step of rate 1 moves the weights by it."""
    network = nn.Linear(2, 1, bias=False)
    before = network.weight.detach().clone()
    trainer = SupervisedTrainer(
        device=torch.device("cpu"),
        max_epochs=1,
        train_data_loader=[{"image": torch.tensor([[3.0, 4.0]]), "label": torch.zeros(1, 1)}],
        network=network,
        optimizer=torch.optim.SGD(network.parameters(), lr=1.0),
        loss_function=lambda prediction, label: (prediction - label).sum(),
        train_handlers=[GradientClip(network=network, max_norm=max_norm)],
        decollate=False,
    )
    trainer.run()
    moved = before - network.weight.detach()
    assert float(moved.norm()) == pytest.approx(expected, rel=1e-4)
    torch.testing.assert_close(moved / moved.norm(), torch.tensor([[0.6, 0.8]]))
