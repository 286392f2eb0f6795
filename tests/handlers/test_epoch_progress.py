from __future__ import annotations

import pytest
import torch
from monai.engines import SupervisedTrainer
from torch import nn

from bundle.handlers import EpochProgress


def test_one_bar_counts_epochs_and_shows_the_loss(capsys: pytest.CaptureFixture[str]) -> None:
    network = nn.Linear(2, 1)
    trainer = SupervisedTrainer(
        device=torch.device("cpu"),
        max_epochs=3,
        train_data_loader=[{"image": torch.ones(1, 2), "label": torch.ones(1, 1)}] * 4,
        network=network,
        optimizer=torch.optim.SGD(network.parameters(), lr=0.0),
        loss_function=nn.MSELoss(),
        train_handlers=[EpochProgress()],
    )
    trainer.run()
    bar = capsys.readouterr().err
    assert "training" in bar
    assert "3/3" in bar
    loss = float(nn.MSELoss()(network(torch.ones(1, 2)), torch.ones(1, 1)))
    assert f"loss={loss:.3g}"[:8] in bar
    assert "4/4" not in bar  # iterations are not counted
