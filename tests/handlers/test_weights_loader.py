from __future__ import annotations

from functools import partial
from pathlib import Path

import pytest
import torch
from ignite.engine import Engine, Events
from torch import nn

from bundle.handlers import RecipeSaver, StartWeights, WeightsLoader
from bundle.io import weights_sha256, write_recipe
from tests.recipes import make_recipe, save_weights


class Network(nn.Conv3d):
    """A small network with a name of its own."""

    def __init__(self, *, channels: int = 4) -> None:
        super().__init__(2, channels, kernel_size=3)


def start(path: Path, network: nn.Module) -> None:
    """What an evaluation does before its first batch."""
    engine = Engine(lambda engine, batch: None)
    WeightsLoader(path=path, network=network, map_location="cpu").attach(engine)
    engine.run([0], max_epochs=1)


def test_every_weight_is_loaded(tmp_path: Path) -> None:
    trained, network = Network(), Network()
    save_weights(trained, tmp_path / "model.pt")
    start(tmp_path / "model.pt", network)
    for name, weight in trained.state_dict().items():
        assert torch.equal(network.state_dict()[name], weight)


def test_half_precision_weights_fill_a_full_precision_network(tmp_path: Path) -> None:
    trained, network = Network().half(), Network()
    save_weights(trained, tmp_path / "model.pt")
    start(tmp_path / "model.pt", network)
    assert network.weight.dtype == torch.float32
    assert torch.equal(network.weight, trained.weight.float())


def test_loading_comes_before_the_first_batch(tmp_path: Path) -> None:
    engine = Engine(lambda engine, batch: pytest.fail("a batch was run"))
    WeightsLoader(path=tmp_path / "model.pt", network=Network(), map_location="cpu").attach(engine)
    engine.add_event_handler(Events.EPOCH_STARTED, lambda: pytest.fail("the run began"))
    with pytest.raises(FileNotFoundError):
        engine.run([0], max_epochs=1)


def test_a_missing_file_is_named_with_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"model\.pt: no such weights file; train first, or pass --weights"):
        start(tmp_path / "model.pt", Network())


@pytest.mark.parametrize(
    "content",
    [b"", b"version https://git-lfs.github.com/spec/v1\n", b"PK\x03\x04 cut off", bytes(range(256)) * 20],
    ids=["empty", "a Git LFS pointer", "a cut-off archive", "binary"],
)
def test_a_file_that_is_no_checkpoint_is_named(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "model.pt").write_bytes(content)
    with pytest.raises(ValueError, match=r"model\.pt: not a weights file"):
        start(tmp_path / "model.pt", Network())


def test_a_truncated_checkpoint_is_named(tmp_path: Path) -> None:
    path = tmp_path / "model.pt"
    torch.save(Network(channels=64).state_dict(), path)
    path.write_bytes(path.read_bytes()[:-4000])
    with pytest.raises(ValueError, match=r"model\.pt: not a weights file"):
        start(path, Network(channels=64))


def test_a_training_checkpoint_will_do(tmp_path: Path) -> None:
    trained, network = Network(), Network()
    save_weights(trained, tmp_path / "checkpoint.pt")  # for its recipe
    torch.save({"network": trained.state_dict(), "optimizer": {}, "trainer": {"epoch": 3}}, tmp_path / "checkpoint.pt")
    start(tmp_path / "checkpoint.pt", network)
    assert torch.equal(network.weight, trained.weight)


@pytest.mark.parametrize("content", [[1, 2, 3], torch.zeros(3), 7], ids=["a list", "a tensor", "a number"])
def test_a_file_of_something_else_is_named(content: object, tmp_path: Path) -> None:
    torch.save(content, tmp_path / "model.pt")
    with pytest.raises(ValueError, match=r"model\.pt: expected a state dict of weights, got a (list|Tensor|int)"):
        start(tmp_path / "model.pt", Network())


@pytest.mark.parametrize(
    "other",
    [Network(channels=5), nn.Linear(2, 3), nn.Sequential(Network())],
    ids=["other widths", "another network", "other names"],
)
def test_weights_of_another_network_are_refused_and_change_nothing(other: nn.Module, tmp_path: Path) -> None:
    save_weights(other, tmp_path / "model.pt")
    network = Network()
    before = {name: weight.clone() for name, weight in network.state_dict().items()}
    with pytest.raises(ValueError, match=r"model\.pt: the weights do not fit Network, which expects 2 tensors"):
        start(tmp_path / "model.pt", network)
    assert all(torch.equal(weight, before[name]) for name, weight in network.state_dict().items())


def test_weights_with_a_tensor_too_few_are_refused(tmp_path: Path) -> None:
    state = {"weight": Network().weight}
    torch.save(state, tmp_path / "model.pt")
    write_recipe(tmp_path / "model.pt", make_recipe(weights_sha256=weights_sha256(state)))
    with pytest.raises(ValueError, match=r"model\.pt: the weights do not fit Network"):
        start(tmp_path / "model.pt", Network())


def test_weights_without_a_recipe_of_their_own_are_refused_and_change_nothing(tmp_path: Path) -> None:
    torch.save(Network().state_dict(), tmp_path / "model.pt")
    network = Network()
    before = network.weight.clone()
    with pytest.raises(FileNotFoundError, match=r"model\.pt: no recipe model\.json beside these weights"):
        start(tmp_path / "model.pt", network)
    write_recipe(tmp_path / "model.pt", make_recipe())
    with pytest.raises(ValueError, match=r"model\.json: this recipe belongs to other weights"):
        start(tmp_path / "model.pt", network)
    assert torch.equal(network.weight, before)


def test_weights_are_loaded_once_for_many_runs(tmp_path: Path) -> None:
    network = Network()
    path = save_weights(Network(), tmp_path / "model.pt")
    engine = Engine(lambda engine, batch: None)
    WeightsLoader(path=path, network=network, map_location="cpu").attach(engine)
    engine.run([0], max_epochs=1)
    path.unlink()
    engine.run([0], max_epochs=1)


def start_training(path: Path | None, network: nn.Module, *, iteration: int = 0) -> dict[str, dict[str, str]]:
    """The pairs of the recipe after the start of a training that a checkpoint may have brought to an iteration."""
    saver = RecipeSaver(
        directories=[], network=partial(nn.Conv3d, in_channels=2), network_spacing_mm=2.0, spatial_size=None,
        margin_mm=15.0, alignment="affine", window_hu={"low": -1000.0, "high": -100.0}, seed=0, config_files=[],
        bundle_root=".",
    )  # fmt: skip
    engine = Engine(lambda engine, batch: None)
    engine.add_event_handler(Events.STARTED, lambda: setattr(engine.state, "iteration", iteration))
    StartWeights(path=path, network=network, recipe_saver=saver, map_location="cpu").attach(engine)
    engine.fire_event(Events.STARTED)
    return saver.pairs


def test_a_training_starts_from_weights_and_takes_over_their_pairs(tmp_path: Path) -> None:
    trained, network = Network(), Network()
    path = save_weights(trained, tmp_path / "model.pt")
    assert start_training(path, network) == {"model: a": {"fixed_sha256": "f", "moving_sha256": "m"}}
    assert torch.equal(network.weight, trained.weight)


@pytest.mark.parametrize(("is_given", "iteration"), [(True, 7), (False, 0)], ids=["resumed", "no weights"])
def test_a_resumed_training_and_one_from_random_weights_keep_theirs(
    is_given: bool, iteration: int, tmp_path: Path
) -> None:
    network = Network()
    before = network.weight.clone()
    path = save_weights(Network(), tmp_path / "model.pt") if is_given else None
    assert start_training(path, network, iteration=iteration) == {}
    assert torch.equal(network.weight, before)


def test_missing_start_weights_are_refused_before_the_training(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"model\.pt: no such weights file"):
        start_training(tmp_path / "model.pt", Network())
