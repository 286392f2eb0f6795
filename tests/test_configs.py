"""The configs as a table of contents: readable, consistent with each other, and what MONAI's hosts ask for."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import torch
from monai.bundle import ConfigParser, ConfigWorkflow, verify_net_in_out

import bundle
from bundle.data import config_with
from bundle.io import read_recipe
from bundle.refusals import reason_of
from bundle.transforms import NetworkGridd

ROOT = Path(__file__).parents[1]
CONFIGS = sorted(path for path in (ROOT / "configs").glob("*.json") if path.name != "metadata.json")
SCHEMA = ROOT.parent / "shared" / "data" / "schema" / "meta_schema_20240725.json"
# MONAI's usual lines, which hosts and handlers expect as they are
USUAL_EXPRESSIONS = {
    "$torch.device('cuda' if torch.cuda.is_available() else 'cpu')",
    "$'nccl' if torch.cuda.is_available() else 'gloo'",
    "$lambda a, b: a < b",
    "$lambda a, b: a > b",
}
OVERLAYS = ("copdgene.json", "lungs.json", "multi_gpu_train.json", "no_cost_volume.json", "voxelmorph.json")
NETWORKS = ("no_cost_volume.json", "voxelmorph.json")


def load(name: str) -> dict[str, Any]:
    return json.loads((ROOT / "configs" / name).read_text())


def iter_expressions(node: Any) -> Iterator[str]:
    if isinstance(node, dict):
        for value in node.values():
            yield from iter_expressions(value)
    elif isinstance(node, list):
        for value in node:
            yield from iter_expressions(value)
    elif isinstance(node, str) and node.startswith("$"):
        yield node


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_config_expressions_hold_no_logic(path: Path) -> None:
    for expression in iter_expressions(json.loads(path.read_text())):
        assert len(expression) <= 100, f"{path}: {expression}"
        if expression not in USUAL_EXPRESSIONS:
            assert not re.search(r"\b(for|if|lambda)\b|\[[^\]]*:", expression), f"{path}: {expression}"


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_no_line_of_a_config_is_longer_than_the_style_allows(path: Path) -> None:
    assert max(len(line) for line in path.read_text().splitlines()) <= 130


@pytest.mark.parametrize("name", ["train.json", "inference.json", "evaluate.json"])
def test_every_id_of_a_config_is_used(name: str) -> None:
    """By another id of the file, by MONAI itself, or by whoever calls the run."""
    config = load(name)
    text = (ROOT / "configs" / name).read_text()
    called = {"_desc_", "imports", "bundle_root", "initialize", "run", "training", "inference", "evaluate"}
    hosts_read = {"dataset_dir", "pre_transforms", "post_transforms"}  # MONAI of every config, MONAI Label
    hosts_read |= {"network_def", "inferer", "dataset", "evaluator"}  # MONAI of configs that infer
    for key in {key for key in config if not key.startswith("_desc_")} - called - hosts_read:
        assert re.search(rf"@{key}\b", text), f"{name}: nothing refers to {key!r}"


@pytest.mark.parametrize("name", OVERLAYS)
def test_an_override_changes_only_ids_that_exist_or_that_it_uses(name: str) -> None:
    base = ConfigParser(load("train.json"))
    overlay = load(name)
    text = (ROOT / "configs" / name).read_text()
    for name_in_overlay, value in overlay.items():
        key = name_in_overlay.removeprefix("+")  # merges
        if key == "finalize" or key.startswith("_desc_") or name_in_overlay.startswith("+"):
            continue
        parent, _, child = key.rpartition("#")
        if key in base:
            assert base.get(key) != value, f"{name}: {key} repeats train.json"
        else:
            assert parent in base or parent == "", f"{name}: {key} has no parent in train.json"
            assert f"@{key}" in text or child in ("sampler", "shuffle", "schedule"), f"{name}: nothing uses {key}"


def test_evaluation_sets_options_of_inference_and_repeats_nothing_else() -> None:
    evaluate, inference = load("evaluate.json"), load("inference.json")
    values = evaluate["inference"]["values"]
    assert values.keys() <= inference.keys()
    nulls = {key for key, value in evaluate.items() if value is None}
    assert nulls < values.keys()
    assert {key for key, value in values.items() if value != f"@{key}"} == {"save"}
    same = {key for key in evaluate.keys() & inference.keys() if evaluate[key] == inference[key]}
    assert same - nulls == {"bundle_root", "weights", "device"}  # which their users expect to find


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_no_config_depends_on_the_working_folder(path: Path) -> None:
    assert '"%' not in path.read_text(), "MONAI's macros take files by their path from the working folder"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "word"), [("inference", "expected either --fixed"), ("evaluate", "no such"), ("training", "no such")]
)
def test_a_config_is_run_from_any_folder_by_monai_s_command(name: str, word: str, tmp_path: Path) -> None:
    """As far as its check of the input, whose reason is the last line."""
    file = ROOT / "configs" / f"{'train' if name == 'training' else name}.json"
    command = [sys.executable, "-m", "monai.bundle", "run", name, "--config_file", file, "--dataset_dir", "missing"]
    done = subprocess.run([*command, "--output_dir", "out"], cwd=tmp_path, capture_output=True, text=True)
    assert (done.returncode, word in done.stderr.splitlines()[-1]) == (2, True), done.stderr[-2000:]
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", ["spacing_mm", "network_spacing_mm"])
@pytest.mark.parametrize("value", [900, 0.01])
def test_voxels_beyond_the_limits_are_refused_before_the_pairs_are_looked_at(name: str, value: float) -> None:
    steps = load("inference.json")["inference"]
    parser = config_with(ROOT / "configs" / "inference.json", {name: value})
    checks = range(steps.index("@recipe"), steps.index("@pairs"))
    with pytest.raises(RuntimeError) as refused:
        [parser.get_parsed_content(f"inference#{number}") for number in checks]
    assert re.fullmatch(rf"{name}: expected [\d.]+ to 10 mm, got {value}", str(reason_of(refused.value)))


def test_inference_prepares_scans_as_training_does_with_the_settings_of_the_recipe() -> None:
    train, inference = load("train.json"), load("inference.json")
    settings = {
        "@alignment": "$@recipe.alignment",
        "@spatial_size": "$@recipe.spatial_size",
        "@network_spacing_mm": "@spacing_mm",  # the grid of the field; the inferer gives the network its own voxels
        "@margin_mm": "$@recipe.margin_mm",
        "@window_hu": "$@recipe.window_hu",
        "@window_hu#low": "$@recipe.window_hu['low']",
        "@window_hu#high": "$@recipe.window_hu['high']",
    }
    text = json.dumps(train["preprocessing_transforms"] + train["windowing"] + train["network_inputs"][:1])
    for of_training, of_recipe in settings.items():
        assert json.dumps(of_training) in text
        text = text.replace(json.dumps(of_training), json.dumps(of_recipe))
    *prepared, last = inference["preprocessing_transforms"]
    assert prepared == json.loads(text)
    assert last == {"_target_": "DeleteItemsd", "keys": ["fixed_net", "moving_net"]}  # they are in the image
    assert inference["inferer"]["network_spacing_mm"] == "$@recipe.network_spacing_mm"


def test_the_recipe_of_the_released_weights_is_that_of_their_config() -> None:
    parser = ConfigParser()
    parser.read_config([str(ROOT / "configs" / name) for name in ("train.json", "lungs.json")])
    recipe = read_recipe(ROOT / "models" / "model.pt")
    for name in ("network_spacing_mm", "spatial_size", "margin_mm", "alignment", "window_hu"):
        assert getattr(recipe, name) == parser[name]
    network = {key: value for key, value in parser["network_class"].items() if key != "_mode_"}
    assert recipe.network == network


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_every_null_is_explained(path: Path) -> None:
    """By a `_desc_` of its own or of the ids around it."""
    config = json.loads(path.read_text())
    above: list[str] = []
    for key, value in config.items():
        above = [key] if key.startswith("_desc_") else [*above, key]
        if value is None:
            assert above[0].startswith("_desc_"), f"{path}: {key} is null without a _desc_ above it"
            assert len(above) <= 8, f"{path}: the _desc_ above {key} is too far away"


def test_overlays_name_themselves_in_the_recipe() -> None:
    for name in OVERLAYS:
        assert load(name)["+config_files"] == [f"configs/{name}"]


def test_the_paper_recipe_is_an_override_of_a_screenful() -> None:
    assert len((ROOT / "configs" / "copdgene.json").read_text().splitlines()) <= 40
    recipe = load("copdgene.json")
    train = load("train.json")
    assert recipe["spatial_size"] == [256, 256, 256]
    assert recipe["train#dataset#data#pairs#section"] == recipe["validate#dataset#data#pairs#section"] == "test"
    assert train["optimizer"]["lr"] == 1e-4
    assert train["unsupervised_loss"]["weight"] == 0.01
    assert train["train"]["dataloader"]["batch_size"] == 1


@pytest.mark.parametrize("name", NETWORKS)
def test_a_network_to_compare_with_takes_and_gives_what_ours_does(name: str) -> None:
    parser = ConfigParser()
    parser.read_config([str(ROOT / "configs" / "train.json"), str(ROOT / "configs" / name)])
    assert parser["network_class"] != load("train.json")["network_class"]
    ddf_vox = parser.get_parsed_content("network_def")(torch.rand(1, 2, 32, 48, 64))
    assert ddf_vox.shape == (1, 3, 32, 48, 64)


@pytest.mark.parametrize("name", [None, *NETWORKS])
def test_every_network_trains_with_the_recipe_of_the_released_weights(name: str | None) -> None:
    """One step of the inferer and the loss, as the trainer does; networks without stages have their field alone."""
    parser = ConfigParser()
    parser.read_config([str(ROOT / "configs" / file) for file in ("train.json", "lungs.json", name) if file])
    parser["device"], parser["amp"] = "cpu", False
    network, infer, loss = (parser.get_parsed_content(key) for key in ("network", "train#inferer", "loss"))
    label = torch.rand(1, 8, 32, 32, 32)
    value = loss(infer(label[:, :2], network), label)
    value.backward()
    assert bool(torch.isfinite(value))
    assert all(weights.grad is not None for weights in network.parameters())


def test_metadata_names_the_version_on_top_of_the_changelog() -> None:
    metadata = load("metadata.json")
    versions = re.findall(r"^## (\S+)", (ROOT / "CHANGELOG.md").read_text(), flags=re.MULTILINE)
    assert metadata["version"] == versions[0] == bundle.__version__
    assert metadata["version"] in metadata["changelog"]


def test_metadata_names_the_versions_of_the_requirements() -> None:
    pins = dict(re.findall(r"^([\w-]+)==(\S+)$", (ROOT / "requirements.txt").read_text(), flags=re.MULTILINE))
    metadata = load("metadata.json")
    assert pins.pop("torch") == metadata["pytorch_version"]
    assert pins.pop("monai") == metadata["monai_version"]
    assert pins.pop("numpy") == metadata["numpy_version"]
    assert pins == metadata["required_packages_version"]


@pytest.mark.skipif(not SCHEMA.exists(), reason="MONAI's metadata schema is absent: metadata.json stays unchecked")
def test_metadata_is_valid_by_monais_schema() -> None:
    jsonschema.validate(load("metadata.json"), json.loads(SCHEMA.read_text()))


@pytest.fixture
def in_root(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where HOSTS run checks: the bundle root, which they do not put on the path themselves."""
    monkeypatch.chdir(ROOT)
    monkeypatch.syspath_prepend(str(ROOT))


@pytest.mark.slow
@pytest.mark.usefixtures("in_root")
def test_inference_has_every_property_monai_asks_for(small_phantoms: Path) -> None:
    case = small_phantoms / "test_00"
    workflow = ConfigWorkflow(
        workflow_type="infer",
        config_file="configs/inference.json",
        meta_file="configs/metadata.json",
        logging_file="configs/logging.conf",
        fixed=str(case / "fixed.nii.gz"),
        moving=str(case / "moving.nii.gz"),
        output_dir=str(small_phantoms / "properties"),
    )
    workflow.initialize()
    assert workflow.check_properties() == []


@pytest.mark.slow
@pytest.mark.usefixtures("in_root")
def test_evaluation_has_every_property_monai_asks_for_and_takes_options_as_inference_does(
    small_phantoms: Path, tmp_path: Path
) -> None:
    workflow = ConfigWorkflow(
        workflow_type="infer",
        config_file="configs/evaluate.json",
        dataset_dir=str(small_phantoms),
        output_dir=str(tmp_path),
        antisymmetric="false",
        num_passes=2,
        spacing_mm=3.0,
        refine="none",
        device="cpu",
        bundle_root=".",
    )
    workflow.initialize()
    assert workflow.check_properties() == []
    inferer = workflow.inferer
    assert (inferer.passes.antisymmetric, inferer.passes.num_passes, inferer.instance_optimization) == (False, 2, None)
    assert [pair["name"] for pair in workflow.dataset.data] == ["test_00", "test_01"]
    grid = next(step for step in workflow.dataset.transform.transforms if isinstance(step, NetworkGridd))
    assert grid.grid.keywords["grid_spacing_mm"] == 3.0
    assert workflow.evaluator.inferer is inferer
    assert str(workflow.device) == "cpu"


@pytest.mark.slow
@pytest.mark.usefixtures("in_root")
def test_training_has_every_property_monai_asks_for(small_phantoms: Path, tmp_path: Path) -> None:
    workflow = ConfigWorkflow(
        workflow_type="train",
        config_file="configs/train.json",
        meta_file="configs/metadata.json",
        logging_file="configs/logging.conf",
        dataset_dir=str(small_phantoms),
        output_dir=str(tmp_path),
        spatial_size=[32, 32, 32],
    )
    workflow.initialize()
    assert workflow.check_properties() == []


@pytest.mark.slow
@pytest.mark.usefixtures("in_root")
def test_the_network_takes_and_gives_what_metadata_says() -> None:
    verify_net_in_out(
        net_id="network_def",
        meta_file="configs/metadata.json",
        config_file="configs/inference.json",
        n=2,
        any=1,
    )


@pytest.mark.slow
def test_released_weights_are_a_plain_state_dict_that_fits_and_is_small() -> None:
    path = ROOT / "models" / "model.pt"
    assert path.stat().st_size <= 40e6
    network = read_recipe(path).build_network()
    network.load_state_dict(torch.load(path, map_location="cpu", weights_only=True))
