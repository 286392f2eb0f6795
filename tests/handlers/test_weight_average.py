from __future__ import annotations

import pytest
import torch
from ignite.engine import Engine
from torch import nn

from bundle.handlers import WeightAverage


def steps(network: nn.Linear, values: list[float], *handlers: WeightAverage) -> None:
    """Train by setting the weight to each value."""

    def step(engine: Engine, value: float) -> None:
        with torch.no_grad():
            network.weight.fill_(value)

    trainer = Engine(step)
    for handler in handlers:
        handler.attach(trainer)
    trainer.run(values, max_epochs=1)


def by_hand(values: list[float], decay: float) -> float:
    average = values[0]
    for count, value in enumerate(values[1:], start=1):
        share = min(decay, (1 + count) / (10 + count))
        average = share * average + (1 - share) * value
    return average


@pytest.mark.parametrize("decay", [0.3, 0.998])
def test_the_average_is_that_of_the_weights_after_each_iteration(decay: float) -> None:
    network = nn.Linear(1, 1, bias=False)
    average = WeightAverage(network=network, decay=decay)
    values = [3.0, 1.0, 4.0, 1.0, 5.0, 9.0]
    steps(network, values, average)
    assert average.network.weight.item() == pytest.approx(by_hand(values, decay))
    assert network.weight.item() == 9.0


def test_an_average_goes_on_where_its_state_ended() -> None:
    values = [3.0, 1.0, 4.0, 1.0, 5.0, 9.0]
    network = nn.Linear(1, 1, bias=False)
    first = WeightAverage(network=network, decay=0.9)
    steps(network, values[:3], first)
    other = nn.Linear(1, 1, bias=False)
    second = WeightAverage(network=other, decay=0.9)
    second.load_state_dict(first.state_dict())
    steps(other, values[3:], second)
    assert second.network.weight.item() == pytest.approx(by_hand(values, 0.9))


def test_a_network_within_a_parallel_one_is_averaged_by_its_own_names() -> None:
    network = nn.Linear(1, 1)
    average = WeightAverage(network=nn.DataParallel(network), decay=0.9)
    assert average.network.state_dict().keys() == network.state_dict().keys()
