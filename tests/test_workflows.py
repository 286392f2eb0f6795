"""The commands of the README, run as a person runs them, on small phantoms."""

from __future__ import annotations

import csv
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from bundle.synthetic.phantom import make_phantom, write_dirlab_case

ROOT = Path(__file__).parents[1]
pytestmark = pytest.mark.slow
SMALL = ["--spatial_size", "[32,32,32]", "--num_workers", "1"]


def run(*arguments: str | Path, launcher: tuple[str, ...] = ("-m",), check: bool = True) -> str:
    """Run a module of the bundle in a fresh process, in the bundle root; gives what it printed."""
    command = [sys.executable, *launcher, *map(str, arguments)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=600, check=False)
    if check:
        assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-4000:]
    else:
        assert done.returncode != 0, done.stdout[-2000:]
    return done.stdout + done.stderr


def train(dataset: Path, out: Path, *options: str, **keywords: tuple[str, ...]) -> str:
    config = ["--config_file", "configs/train.json"]
    return run(
        "monai.bundle", "run", "training", *config, "--dataset_dir", dataset, "--output_dir", out, *SMALL, *options,
        **keywords,
    )  # fmt: skip


@pytest.fixture(scope="module")
def trained(small_phantoms: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    out = tmp_path_factory.mktemp("trained")
    return out, train(small_phantoms, out, "--max_epochs", "4", "--val_interval", "2")


def checkpoint(out: Path, epoch: int) -> dict[str, torch.Tensor]:
    return torch.load(out / "checkpoints" / f"checkpoint_epoch={epoch}.pt", weights_only=True)["network"]


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


def test_the_paper_recipe_trains_on_the_pairs_it_reports_and_says_so(small_phantoms: Path, tmp_path: Path) -> None:
    run(
        "monai.bundle", "run", "training", "--config_file", "['configs/train.json','configs/copdgene.json']",
        "--dataset_dir", small_phantoms, "--output_dir", tmp_path, *SMALL, "--max_epochs", "1", "--val_interval", "1",
    )  # fmt: skip
    assert "transductive" in (tmp_path / "tre.md").read_text()


def train_lungs(dataset: Path, phases: Path, out: Path, *options: str) -> None:
    run(
        "monai.bundle", "run", "training", "--config_file", "['configs/train.json','configs/lungs.json']",
        "--dataset_dir", dataset, "--simulated_dir", dataset, "--phases_dir", phases, "--output_dir", out,
        "--crop_sides", "[32]", "--max_epochs", "2", "--val_interval", "1", "--num_workers", "1", *options,
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


def test_two_gloo_processes_train_together(small_phantoms: Path, tmp_path: Path) -> None:
    torchrun = ("-m", "torch.distributed.run", "--standalone", "--nproc_per_node=2", "-m")
    printed = run(
        "monai.bundle", "run", "training",
        "--config_file", "['configs/train.json','configs/multi_gpu_train.json']",
        "--dataset_dir", small_phantoms, "--output_dir", tmp_path, *SMALL, "--max_epochs", "1", "--val_interval", "1",
        launcher=torchrun,
    )  # fmt: skip
    assert printed.count("Target registration error") == 1
    assert (tmp_path / "model.pt").exists()


def test_a_pairs_file_is_registered_into_one_folder_a_pair_and_goes_on_where_it_stopped(
    trained: tuple[Path, str], small_phantoms: Path, tmp_path: Path
) -> None:
    weights = trained[0] / "model.pt"
    command = (
        "monai.bundle", "run", "inference", "--config_file", "configs/inference.json",
        "--pairs_file", small_phantoms / "pairs.json", "--output_dir", tmp_path, "--weights", weights,
    )  # fmt: skip
    run(*command)
    names = {f"{section}_{number:02d}" for section in ("training", "validation", "test") for number in (0, 1)}
    assert {path.name for path in tmp_path.iterdir()} == {*names, "verdicts.csv"}
    report = json.loads((tmp_path / "test_00" / "report.json").read_text())
    assert report["scores"]["tre_none_mm"] > report["scores"]["tre_aligned_mm"]
    (tmp_path / "test_00" / "report.json").unlink()
    times = {name: (tmp_path / name / "report.json").stat().st_mtime_ns for name in names - {"test_00"}}
    assert "5 of 6 pairs are finished" in run(*command)
    assert (tmp_path / "test_00" / "report.json").exists()
    assert {name: (tmp_path / name / "report.json").stat().st_mtime_ns for name in times} == times


def test_a_dirlab_case_is_prepared_and_evaluated_beside_the_published_rows(
    trained: tuple[Path, str], tmp_path: Path
) -> None:
    write_dirlab_case(make_phantom(4, spacing_mm=(5.0, 5.0, 5.0)), tmp_path / "raw", 4)
    run("scripts.prepare_dirlab", "--source", tmp_path / "raw", "--out", tmp_path / "data")
    run(
        "monai.bundle", "run", "evaluate", "--config_file", "configs/evaluate.json",
        "--dataset_dir", tmp_path / "data", "--output_dir", tmp_path / "out", "--weights", trained[0] / "model.pt",
    )  # fmt: skip
    table = (tmp_path / "out" / "tre.md").read_text()
    for word in ("copd4", "held out", "observer", "pTVreg", "Snapped", "Continuous"):
        assert word in table
    (row,) = csv.DictReader((tmp_path / "out" / "tre.csv").open())
    assert row["name"] == "copd4"
    assert row["landmarks"] == "300"


def test_weights_of_a_training_are_evaluated_with_no_other_option_as_the_training_did(
    trained: tuple[Path, str], small_phantoms: Path, tmp_path: Path
) -> None:
    """The table that ends the training comes again, since the recipe holds network, grid and alignment."""
    out, _ = trained
    assert "held out" in (out / "tre.md").read_text()
    run(
        "monai.bundle", "run", "evaluate", "--config_file", "configs/evaluate.json", "--dataset_dir", small_phantoms,
        "--output_dir", tmp_path, "--weights", out / "model.pt", "--refine", "none", "--antisymmetric", "false",
    )  # fmt: skip
    expected, found = (json.loads((folder / "tre.json").read_text()) for folder in (out, tmp_path))
    assert found["weights"] == "held out"
    for case_found, case in zip(found["cases"], expected["cases"], strict=True):
        for key in ("name", "tre_aligned_mm", "tre_mm", "snapped_tre_mm"):
            assert case_found[key] == case[key]
    default = tmp_path / "default"
    run(
        "monai.bundle", "run", "evaluate", "--config_file", "configs/evaluate.json", "--dataset_dir", small_phantoms,
        "--output_dir", default, "--weights", out / "checkpoints" / "checkpoint_epoch=4.pt",
    )  # fmt: skip
    assert json.loads((default / "tre.json").read_text())["mean"]["tre_mm"] < found["mean"]["tre_mm"]


def test_weights_without_a_recipe_are_refused_at_once(
    trained: tuple[Path, str], small_phantoms: Path, tmp_path: Path
) -> None:
    shutil.copy(trained[0] / "model.pt", tmp_path / "bare.pt")
    printed = run(
        "monai.bundle", "run", "evaluate", "--config_file", "configs/evaluate.json", "--dataset_dir", small_phantoms,
        "--output_dir", tmp_path / "out", "--weights", tmp_path / "bare.pt", check=False,
    )  # fmt: skip
    assert f"{tmp_path / 'bare.pt'}: no recipe bare.json beside these weights" in printed
    assert not (tmp_path / "out").exists()


def test_a_missing_dataset_says_how_to_get_one(tmp_path: Path) -> None:
    printed = run(
        "monai.bundle", "run", "training", "--config_file", "configs/train.json", "--dataset_dir", tmp_path / "none",
        "--output_dir", tmp_path / "out", check=False,
    )  # fmt: skip
    assert "prepare_dirlab" in printed
    assert "embedded data" in printed
    assert not (tmp_path / "out").exists()


def test_a_side_too_small_for_four_levels_is_named(small_phantoms: Path, tmp_path: Path) -> None:
    case = small_phantoms / "test_00"
    printed = run(
        "monai.bundle", "run", "inference", "--config_file", "configs/inference.json",
        "--fixed", case / "fixed.nii.gz", "--moving", case / "moving.nii.gz",
        "--output_dir", tmp_path / "out", "--spatial_size", "[32,32,24]", check=False,
    )  # fmt: skip
    assert "multiples of 16" in printed
    assert "24" in printed


DISTRIBUTED = "['configs/train.json','configs/multi_gpu_train.json']"


def test_a_lost_process_is_started_again_and_both_go_on_from_the_checkpoint(
    small_phantoms: Path, tmp_path: Path
) -> None:
    """torchrun starts all processes anew after the SIGKILL of one; the weights are those of an undisturbed run."""
    for name in ("straight", "lost"):
        command = [
            sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node=2", "--max_restarts=3",
            "-m", "monai.bundle", "run", "training", "--config_file", DISTRIBUTED, "--dataset_dir", small_phantoms,
            "--output_dir", tmp_path / name, *SMALL, "--max_epochs", "4", "--val_interval", "1", "--resume", "true",
        ]  # fmt: skip
        with (tmp_path / f"{name}.log").open("w") as log:
            environment = {**os.environ, "TORCH_DISABLE_SHARE_RDZV_TCP_STORE": "1"}  # see docs/training.md
            agent = subprocess.Popen(list(map(str, command)), cwd=ROOT, env=environment, stdout=log, stderr=log)
        if name == "lost":
            wait_for(tmp_path / name / "checkpoints" / "checkpoint_epoch=2.pt", agent)
            lost = workers(agent.pid)[-1]
            os.kill(lost, signal.SIGKILL)
        assert agent.wait(600) == 0, (tmp_path / f"{name}.log").read_text()[-4000:]
    assert "resuming after epoch" in (tmp_path / "lost.log").read_text()
    straight, restarted = checkpoint(tmp_path / "straight", 4), checkpoint(tmp_path / "lost", 4)
    assert all(torch.equal(straight[key], restarted[key]) for key in straight)


def wait_for(path: Path, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + 600
    while not path.exists():
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.02)


def workers(agent: int) -> list[int]:
    """The processes that torchrun has started."""
    children = Path(f"/proc/{agent}/task/{agent}/children").read_text().split()
    return [int(pid) for pid in children if b"monai.bundle" in Path(f"/proc/{pid}/cmdline").read_bytes()]


def test_sections_with_fewer_pairs_than_processes_are_named_before_any_scan_is_read(
    small_phantoms: Path, tmp_path: Path
) -> None:
    shutil.copytree(small_phantoms, tmp_path / "data")
    pairs = json.loads((tmp_path / "data" / "pairs.json").read_text())
    pairs["validation"] = pairs["validation"][:1]
    (tmp_path / "data" / "pairs.json").write_text(json.dumps(pairs))
    printed = run(
        "monai.bundle", "run", "training", "--config_file", DISTRIBUTED, "--dataset_dir", tmp_path / "data",
        "--output_dir", tmp_path / "out", *SMALL, check=False,
        launcher=("-m", "torch.distributed.run", "--standalone", "--nproc_per_node=2", "-m"),
    )  # fmt: skip
    assert "expected a pair for each of the 2 processes in every section, found fewer in validation (1)" in printed
    assert "Loading dataset" not in printed


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
