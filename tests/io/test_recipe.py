from __future__ import annotations

import dataclasses
import json
import logging
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from bundle.io import check_weights, read_recipe, recipe_path, weights_sha256, write_recipe
from bundle.networks import RRN
from tests.recipes import make_recipe, save_weights

ROOT = Path(__file__).parents[2]


def test_a_recipe_comes_back_as_written(tmp_path: Path) -> None:
    write_recipe(tmp_path / "model.pt", make_recipe())
    assert recipe_path(tmp_path / "model.pt") == tmp_path / "model.json"
    assert read_recipe(tmp_path / "model.pt") == make_recipe()
    assert [path.name for path in tmp_path.iterdir()] == ["model.json"]


def test_it_builds_the_network_it_names() -> None:
    network = make_recipe().build_network()
    assert isinstance(network, RRN)
    assert network(torch.rand(1, 2, 16, 32, 16)).shape == (1, 3, 16, 32, 16)


@pytest.mark.parametrize(
    "network",
    [
        {"_target_": "os.system", "command": "true"},
        {"_target_": "bundle.networks.normalize_features"},
        {"_target_": "bundle.networks.rrn.os.system", "command": "true"},
        {"_target_": "bundle.networks.Missing"},
        {"channels": [4, 4, 4, 4]},
    ],
    ids=["another package", "a function", "a module of a module", "a missing class", "none"],
)
def test_a_recipe_cannot_name_other_code(network: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=r"recipe: expected a network of bundle\.networks or monai"):
        make_recipe(network=network).build_network()


@pytest.mark.parametrize(("hashes", "trained"), [(["f", "x"], True), (["x", "m"], True), (["x", "y"], False)])
def test_a_pair_was_trained_on_if_one_of_its_scans_was(hashes: list[str], trained: bool) -> None:
    assert make_recipe().was_trained_on(hashes) is trained


@pytest.mark.parametrize(
    ("options", "changes", "warning"),
    [
        ({}, {}, None),
        ({"alignment": "affine", "network_spacing_mm": 2.0}, {}, None),
        (
            {"alignment": "translation"},
            {"alignment": "translation"},
            "trained with alignment affine, run with translation",
        ),
        ({"network_spacing_mm": 1.5}, {"network_spacing_mm": 1.5}, "network_spacing_mm 2.0, run with 1.5"),
        (
            {"spatial_size": [32, 32, 48]},
            {"spatial_size": [32, 32, 48], "network_spacing_mm": None},
            r"spatial_size None, run with [32, 32, 48]",
        ),
    ],
)
def test_an_explicit_option_is_obeyed_with_one_warning_if_it_contradicts(
    options: dict, changes: dict, warning: str | None, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    write_recipe(tmp_path / "model.pt", make_recipe())
    with caplog.at_level(logging.WARNING):
        recipe = read_recipe(tmp_path / "model.pt", **options)
    assert recipe == dataclasses.replace(make_recipe(), **changes)
    assert len(caplog.messages) == (warning is not None)
    assert warning is None or warning in caplog.text


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", r"model\.json, line 1: malformed JSON"),
        ("[]", r"model\.json: expected a recipe with alignment, .*, got list"),
        (json.dumps({"alignment": "affine"}), r"model\.json: expected a recipe with .*, got \['alignment'\]"),
    ],
)
def test_a_broken_recipe_is_named(content: str, message: str, tmp_path: Path) -> None:
    (tmp_path / "model.json").write_text(content)
    with pytest.raises(ValueError, match=message):
        read_recipe(tmp_path / "model.pt")


def test_missing_weights_and_a_missing_recipe_are_told_apart(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"model\.pt: no such weights file; train first, or pass --weights"):
        read_recipe(tmp_path / "model.pt")
    (tmp_path / "model.pt").touch()
    with pytest.raises(FileNotFoundError, match=r"model\.pt: no recipe model\.json beside .* training writes it"):
        read_recipe(tmp_path / "model.pt")


def test_a_relative_path_is_also_searched_in_the_bundle(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`monai.bundle.load` leaves `bundle_root` at "." and runs anywhere."""
    monkeypatch.chdir(tmp_path)
    assert read_recipe("./models/model.pt") == read_recipe(ROOT / "models" / "model.pt")


def test_both_kinds_of_grid_at_once_are_refused(tmp_path: Path) -> None:
    write_recipe(tmp_path / "model.pt", make_recipe())
    with pytest.raises(ValueError, match="expected network_spacing_mm or spatial_size, got both"):
        read_recipe(tmp_path / "model.pt", network_spacing_mm=2.0, spatial_size=[16, 16, 16])


@pytest.mark.parametrize("size_mm", [900, 0.01, "wide"])
def test_voxels_of_the_network_beyond_the_limits_are_refused(size_mm: Any, tmp_path: Path) -> None:
    write_recipe(tmp_path / "model.pt", make_recipe())
    with pytest.raises(ValueError, match=f"^network_spacing_mm: expected 1 to 10 mm, got {size_mm!r}$"):
        read_recipe(tmp_path / "model.pt", network_spacing_mm=size_mm)


def test_weights_of_another_recipe_are_refused(tmp_path: Path) -> None:
    network = nn.Conv3d(2, 3, 3)
    path = save_weights(network, tmp_path / "model.pt")
    check_weights(path, network.state_dict())
    check_weights(path, network.half().state_dict())  # a release in half precision has the recipe of its training
    with pytest.raises(
        ValueError, match=r"model\.json: this recipe belongs to other weights \(SHA-256 .*model\.pt has"
    ):
        check_weights(path, nn.Conv3d(2, 3, 3).state_dict())


def test_the_hash_depends_on_names_shapes_and_values() -> None:
    state = {"a": torch.tensor([1.0, 2.0]), "b": torch.tensor(3)}
    others = [{**state, "a": torch.tensor([1.0, 2.5])}, {**state, "a": torch.tensor([[1.0, 2.0]])}, {"c": state["a"]}]
    hashes = {weights_sha256(each) for each in [state, dict(reversed(state.items())), *others]}
    assert len(hashes) == 4


def test_the_released_weights_have_their_recipe() -> None:
    path = ROOT / "models" / "model.pt"
    recipe = read_recipe(path)
    state = torch.load(path, map_location="cpu", weights_only=True)
    check_weights(path, state)
    recipe.build_network().load_state_dict(state)
    assert len(recipe.training["pairs"]) == 204
