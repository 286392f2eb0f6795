"""A training on one process: what it leaves, and how it goes on after it has stopped."""

from __future__ import annotations

import json
import random
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from tests.workflows.commands import ROOT, SMALL, checkpoint, run, train, wait_for

pytestmark = pytest.mark.slow


def test_training_ends_with_a_table_of_all_stages_on_the_test_phantoms(trained: tuple[Path, str]) -> None:
    out, printed = trained
    assert "Target registration error" in printed
    for word in ("without", "aligned", "network", "test_00"):
        assert word in printed
    case, _ = json.loads((out / "tre.json").read_text())["cases"]
    assert case["landmarks"] == 300
    assert 10 < case["tre_none_mm"] < 35
    assert case["tre_aligned_mm"] < case["tre_none_mm"]


def test_training_leaves_best_weights_two_checkpoints_and_tensorboard_events(trained: tuple[Path, str]) -> None:
    out, _ = trained
    assert all(torch.is_tensor(value) for value in torch.load(out / "model.pt", weights_only=True).values())
    names = sorted(path.name for path in (out / "checkpoints").iterdir())
    stems = ["checkpoint_epoch=2", "checkpoint_epoch=4"]
    assert names == [f"{stem}{suffix}" for stem in stems for suffix in (".json", ".pt")]  # each with its recipe
    assert (out / "model.json").exists()
    assert list(out.glob("events.out.tfevents*"))


def test_a_resumed_training_ends_bit_identical_to_one_that_ran_through(
    trained: tuple[Path, str], small_phantoms: Path, tmp_path: Path
) -> None:
    train(small_phantoms, tmp_path, "--max_epochs", "2", "--val_interval", "2")
    train(small_phantoms, tmp_path, "--max_epochs", "4", "--val_interval", "2", "--resume", "true")
    through, resumed = checkpoint(trained[0], 4), checkpoint(tmp_path, 4)
    assert through.keys() == resumed.keys()
    assert all(torch.equal(through[key], resumed[key]) for key in through)


def test_a_training_killed_at_any_time_resumes_to_the_same_weights(
    trained: tuple[Path, str], small_phantoms: Path, tmp_path: Path
) -> None:
    command = [
        sys.executable, "-m", "monai.bundle", "run", "training", "--config_file", "configs/train.json",
        "--dataset_dir", small_phantoms, "--output_dir", tmp_path, *SMALL, "--max_epochs", "4", "--val_interval", "2",
        "--resume", "true",
    ]  # fmt: skip
    process = subprocess.Popen(list(map(str, command)), cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    wait_for(tmp_path / "checkpoints" / "checkpoint_epoch=2.pt", process)
    time.sleep(random.SystemRandom().uniform(0.0, 1.0))
    process.kill()
    process.wait()
    printed = run(*command[2:])
    assert "resuming after epoch" in printed
    through, resumed = checkpoint(trained[0], 4), checkpoint(tmp_path, 4)
    assert all(torch.equal(through[key], resumed[key]) for key in through)


def test_the_paper_recipe_trains_on_the_pairs_it_reports_and_says_so(small_phantoms: Path, tmp_path: Path) -> None:
    run(
        "monai.bundle", "run", "training", "--config_file", "['configs/train.json','configs/copdgene.json']",
        "--dataset_dir", small_phantoms, "--output_dir", tmp_path, *SMALL, "--max_epochs", "1", "--val_interval", "1",
    )  # fmt: skip
    assert "transductive" in (tmp_path / "tre.md").read_text()


def test_a_missing_dataset_says_how_to_get_one(tmp_path: Path) -> None:
    printed = run(
        "monai.bundle", "run", "training", "--config_file", "configs/train.json", "--dataset_dir", tmp_path / "none",
        "--output_dir", tmp_path / "out", check=False,
    )  # fmt: skip
    assert "prepare_dirlab" in printed
    assert "embedded data" in printed
    assert not (tmp_path / "out").exists()
