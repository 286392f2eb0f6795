from __future__ import annotations

import hashlib
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from ignite.engine import Engine, Events
from monai.networks.nets import VoxelMorphUNet

from bundle.handlers import RecipeSaver
from bundle.handlers.recipe_saver import describe_network
from bundle.io import check_weights, read_recipe
from bundle.networks import RRN

NETWORK = partial(RRN, channels=[4, 4, 4, 4], radius_vox=1)


def case(name: str) -> dict[str, str]:
    return {"name": name, "fixed_sha256": f"{name}f", "moving_sha256": f"{name}m"}


BATCHES = [[case("b"), case("a")], [case("c")]]


def make_saver(folder: Path, **changes: Any) -> RecipeSaver:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "train.json").write_text("{}")
    settings: dict[str, Any] = {
        "directories": [folder, folder / "checkpoints"],
        "network": NETWORK,
        "network_spacing_mm": None,
        "spatial_size": [32, 32, 48],
        "margin_mm": 15.0,
        "alignment": "translation",
        "window_hu": {"low": -1000.0, "high": -100.0},
        "seed": 3,
        "config_files": ["train.json"],
        "bundle_root": folder,
    }
    return RecipeSaver(**{**settings, **changes})


def train(folder: Path, saver: RecipeSaver, *, epochs: int = 1) -> None:
    """A run that saves new weights and a new checkpoint with every epoch."""
    (folder / "checkpoints").mkdir(exist_ok=True)
    engine = Engine(lambda engine, batch: None)

    def save(engine: Engine) -> None:
        state = NETWORK().state_dict()
        torch.save(state, folder / "model.pt")
        checkpoint = {"network": state, "recipe": saver.state_dict()}
        torch.save(checkpoint, folder / "checkpoints" / f"checkpoint_epoch={engine.state.epoch}.pt")

    engine.add_event_handler(Events.EPOCH_COMPLETED, save)
    saver.attach(engine)
    engine.run(BATCHES, max_epochs=epochs)


def test_every_saved_file_gets_the_recipe_of_its_own_weights(tmp_path: Path) -> None:
    train(tmp_path, make_saver(tmp_path), epochs=2)
    files = [tmp_path / "model.pt", *sorted((tmp_path / "checkpoints").glob("*.pt"))]
    assert len(files) == 3
    for path, iterations in zip(files, (4, 2, 4), strict=True):
        state = torch.load(path, weights_only=True)
        check_weights(path, state.get("network", state))
        recipe = read_recipe(path)
        assert recipe.training["iterations"] == iterations
        assert recipe.build_network().state_dict().keys() == NETWORK().state_dict().keys()


def test_it_holds_what_the_run_was_made_of(tmp_path: Path) -> None:
    train(tmp_path, make_saver(tmp_path))
    recipe = read_recipe(tmp_path / "model.pt")
    assert recipe.network == {"_target_": "bundle.networks.RRN", "channels": [4, 4, 4, 4], "radius_vox": 1}
    assert (recipe.spatial_size, recipe.network_spacing_mm) == ([32, 32, 48], None)
    assert recipe.alignment == "translation"
    assert recipe.training["pairs"] == [
        {"name": name, "fixed_sha256": f"{name}f", "moving_sha256": f"{name}m"} for name in "abc"
    ]
    assert recipe.training["config_files"] == {"train.json": hashlib.sha256(b"{}").hexdigest()}
    assert recipe.training["seed"] == 3


def test_a_resumed_run_lists_the_pairs_of_both_parts(tmp_path: Path) -> None:
    saver = make_saver(tmp_path)
    saver.load_state_dict({"pairs": {"z": {"fixed_sha256": "zf", "moving_sha256": "zm"}}})
    train(tmp_path, saver)
    assert [pair["name"] for pair in read_recipe(tmp_path / "model.pt").training["pairs"]] == ["a", "b", "c", "z"]


def test_weights_of_an_earlier_run_keep_their_recipe_or_their_lack_of_one(tmp_path: Path) -> None:
    torch.save({}, tmp_path / "other.pt")
    train(tmp_path, make_saver(tmp_path))
    assert not (tmp_path / "other.json").exists()


@pytest.mark.parametrize(("size", "expected"), [(None, (2.0, None)), ([16, 16, 16], (None, [16, 16, 16]))])
def test_a_fixed_size_overrides_the_voxel_size(size: list[int] | None, expected: tuple, tmp_path: Path) -> None:
    train(tmp_path, make_saver(tmp_path, spatial_size=size, network_spacing_mm=2.0))
    recipe = read_recipe(tmp_path / "model.pt")
    assert (recipe.network_spacing_mm, recipe.spatial_size) == expected


def test_a_network_of_monai_is_described_by_its_public_name() -> None:
    description = describe_network(partial(VoxelMorphUNet, spatial_dims=3))
    assert description == {"_target_": "monai.networks.nets.VoxelMorphUNet", "spatial_dims": 3}


def test_a_resumed_run_writes_the_recipes_that_the_killed_one_had_no_time_for(tmp_path: Path) -> None:
    first = make_saver(tmp_path)
    train(tmp_path, first)
    torch.save(NETWORK().state_dict(), tmp_path / "model.pt")  # better weights, then the end
    (tmp_path / "checkpoints" / "checkpoint_epoch=1.json").unlink()
    (tmp_path / "checkpoints" / "checkpoint_epoch=2.pt").write_bytes(b"cut")
    resumed = make_saver(tmp_path)
    resumed.load_state_dict(first.state_dict())
    engine = Engine(lambda engine, batch: None)
    resumed.attach(engine)
    engine.run(BATCHES, max_epochs=1)
    for path in (tmp_path / "model.pt", tmp_path / "checkpoints" / "checkpoint_epoch=1.pt"):
        state = torch.load(path, weights_only=True)
        check_weights(path, state.get("network", state))
        assert [pair["name"] for pair in read_recipe(path).training["pairs"]] == ["a", "b", "c"]
    assert not (tmp_path / "checkpoints" / "checkpoint_epoch=2.json").exists()
