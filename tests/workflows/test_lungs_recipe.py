"""The recipe of the released weights, configs/lungs.json."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch

from tests.workflows.commands import run

pytestmark = pytest.mark.slow


def train_lungs(dataset: Path, phases: Path, out: Path, *options: str) -> None:
    """Two epochs; on a grid of 8 mm instead of 2 mm, where validation takes no time."""
    run(
        "monai.bundle", "run", "training", "--config_file", "['configs/train.json','configs/lungs.json']",
        "--dataset_dir", dataset, "--simulated_dir", dataset, "--phases_dir", phases, "--output_dir", out,
        "--network_spacing_mm", "8.0", "--crop_sides", "[32]", "--max_epochs", "2", "--val_interval", "1",
        "--num_workers", "1", *options,
    )  # fmt: skip


@pytest.fixture(scope="module")
def lungs_trained(small_phantoms: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Data and output folder of two epochs of the recipe of the released weights."""
    phases, out = tmp_path_factory.mktemp("phases"), tmp_path_factory.mktemp("lungs")
    case = small_phantoms / "training_00"
    pair = {"name": "phases", "fixed": str(case / "fixed.nii.gz"), "moving": str(case / "moving.nii.gz")}
    (phases / "pairs.json").write_text(json.dumps({"training": [pair]}))
    train_lungs(small_phantoms, phases, out)
    return phases, out


def state_of(out: Path, epoch: int) -> dict[str, dict[str, torch.Tensor]]:
    return torch.load(out / "checkpoints" / f"checkpoint_epoch={epoch}.pt", weights_only=True)


def test_the_recipe_of_the_released_weights_takes_pairs_with_a_known_field_and_without(
    lungs_trained: tuple[Path, Path],
) -> None:
    _, out = lungs_trained
    first, last = (state_of(out, epoch) for epoch in (1, 2))
    assert first["schedule"]["last_epoch"] == 5  # a step after each of 2 + 2 + 1 pairs
    assert last["schedule"]["last_epoch"] == last["average"]["n_averaged"] == 10
    assert last["schedule"]["_last_lr"] == [pytest.approx(0.0, abs=1e-12)]
    best = torch.load(out / "model.pt", weights_only=True)
    averages = [{key.removeprefix("module."): value for key, value in one["average"].items()} for one in (first, last)]
    assert any(all(torch.equal(best[key], average[key]) for key in best) for average in averages)
    assert not all(torch.equal(best[key], last["network"][key]) for key in best)


def test_a_resumed_training_of_that_recipe_ends_bit_identical_with_its_average(
    lungs_trained: tuple[Path, Path], small_phantoms: Path, tmp_path: Path
) -> None:
    phases, through = lungs_trained
    shutil.copytree(through, tmp_path / "cut")
    (tmp_path / "cut" / "checkpoints" / "checkpoint_epoch=2.pt").unlink()
    train_lungs(small_phantoms, phases, tmp_path / "cut", "--resume", "true")
    expected, resumed = state_of(through, 2), state_of(tmp_path / "cut", 2)
    for part in ("network", "average"):
        assert all(torch.equal(expected[part][key], resumed[part][key]) for key in expected[part]), part


def test_missing_start_weights_are_refused_before_the_pairs_are_read(small_phantoms: Path, tmp_path: Path) -> None:
    missing = tmp_path / "missing.pt"
    printed = run(
        "monai.bundle", "run", "training", "--config_file", "['configs/train.json','configs/lungs.json']",
        "--dataset_dir", small_phantoms, "--output_dir", tmp_path / "out", "--start_weights", missing, check=False,
    )  # fmt: skip
    assert printed.splitlines()[-1].startswith(f"{missing}: no such weights file")
    assert not (tmp_path / "out").exists()
