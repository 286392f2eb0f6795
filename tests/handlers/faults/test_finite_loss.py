from __future__ import annotations

from pathlib import Path

import pytest
import torch
from ignite.engine import Events
from torch import Tensor

from tests.handlers.test_training_checkpoint import Run, assert_same_weights, make_run


def spoil_pair(run: Run, name: str, value: float) -> None:
    """Let the network's input of a pair hold a value that no scan has."""

    def spoil() -> None:
        batch = run.trainer.state.batch
        if batch["name"] == [name] and run.trainer.state.epoch == 2:
            batch["image"][..., 2] = value

    run.trainer.add_event_handler(Events.ITERATION_STARTED, spoil)


def copy_weights(run: Run) -> dict[str, Tensor]:
    return {name: weight.clone() for name, weight in run.weights.items()}


def assert_saved_before(run: Run, folder: Path, message: str) -> None:
    """The run stops in epoch 2 at pair 3, with the state that it had when the iteration started."""
    before: list[dict[str, Tensor]] = []
    run.trainer.add_event_handler(Events.ITERATION_STARTED, lambda: before.append(copy_weights(run)))
    with pytest.raises(ValueError, match=f"^{message}: not finite in epoch 2, iteration"):
        run.trainer.run()
    saved = torch.load(folder / "diverged_epoch=2.pth", weights_only=True)
    assert saved["pairs"] == "3"
    assert saved["network"].keys() == before[-1].keys()
    assert all(torch.equal(saved["network"][name], weight) for name, weight in before[-1].items())
    assert all(torch.isfinite(weight).all() for weight in run.weights.values())


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_the_run_stops_with_the_name_of_the_pair_and_saves_the_state_before_it(value: float, tmp_path: Path) -> None:
    run = make_run(tmp_path)
    spoil_pair(run, "3", value)
    assert_saved_before(run, tmp_path, "loss of pair 3")


def test_a_gradient_that_is_not_finite_stops_the_run_as_well(tmp_path: Path) -> None:
    run = make_run(tmp_path)

    def spoil(gradient: Tensor) -> Tensor:
        is_third = run.trainer.state.batch["name"] == ["3"] and run.trainer.state.epoch == 2
        return gradient * float("inf") if is_third else gradient

    run.network[0].weight.register_hook(spoil)
    assert_saved_before(run, tmp_path, "gradient after pair 3")


def test_training_continues_from_the_checkpoint_before_it_once_the_pair_is_repaired(tmp_path: Path) -> None:
    straight = make_run(tmp_path / "straight")
    straight.trainer.run()
    broken = make_run(tmp_path / "broken")
    spoil_pair(broken, "3", float("nan"))
    with pytest.raises(ValueError, match="loss of pair 3"):
        broken.trainer.run()
    repaired = make_run(tmp_path / "broken", resume=True)
    repaired.trainer.run()
    assert_same_weights(straight, repaired)
