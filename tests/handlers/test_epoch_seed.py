from __future__ import annotations

from typing import Any

import torch
from ignite.engine import Engine
from monai.data import CacheDataset, DataLoader
from monai.transforms import Compose, RandGaussianNoised

from bundle.handlers import EpochSeed


def draws(*, seed: int, epochs: list[int], waste: int = 0, num_workers: int = 0) -> dict[int, list[float]]:
    """What each epoch feeds to the network, when `waste` random numbers are drawn before every epoch."""
    transform = Compose([RandGaussianNoised("image", prob=1.0)])
    items = [{"image": torch.full((1,), float(index))} for index in range(6)]
    dataset = CacheDataset(items, transform=transform, progress=False)
    loader = DataLoader(dataset, batch_size=1, shuffle=True, num_workers=num_workers)
    seen: dict[int, list[float]] = {}

    def step(engine: Engine, batch: dict[str, Any]) -> None:
        seen.setdefault(engine.state.epoch, []).append(float(batch["image"]))

    engine = Engine(step)
    EpochSeed(seed=seed, transform=transform).attach(engine)
    for epoch in epochs:
        torch.rand(waste)
        transform.set_random_state(seed=waste)
        engine.load_state_dict({"epoch": epoch - 1, "max_epochs": epoch, "epoch_length": len(items)})
        engine.run(loader, max_epochs=epoch)
    return seen


def test_an_epoch_depends_on_its_number_only() -> None:
    straight = draws(seed=3, epochs=[1, 2, 3])
    resumed = draws(seed=3, epochs=[2, 3], waste=5)
    assert straight[2] == resumed[2]
    assert straight[3] == resumed[3]


def test_workers_do_not_change_that() -> None:
    assert draws(seed=3, epochs=[2], num_workers=2) == draws(seed=3, epochs=[2], waste=5, num_workers=2)


def test_epochs_and_seeds_differ_in_order_and_augmentation() -> None:
    first, other = draws(seed=3, epochs=[1, 2]), draws(seed=4, epochs=[3])
    sequences = [first[1], first[2], other[3]]
    orders = [[round(value) for value in sequence] for sequence in sequences]
    noises = [sorted(value - round(value) for value in sequence) for sequence in sequences]
    assert len({tuple(order) for order in orders}) > 1
    assert len({tuple(noise) for noise in noises}) == 3
