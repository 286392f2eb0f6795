"""Trainings of several processes."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from tests.workflows.commands import ROOT, SMALL, checkpoint, run, wait_for

pytestmark = pytest.mark.slow
DISTRIBUTED = "['configs/train.json','configs/multi_gpu_train.json']"


LAST = 3  # epoch


def start(dataset: Path, out: Path, log: Path, *options: str) -> subprocess.Popen[bytes]:
    """Two processes that train, and the agent that watches them."""
    command = [
        sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node=2", *options,
        "-m", "monai.bundle", "run", "training", "--config_file", DISTRIBUTED, "--dataset_dir", dataset,
        "--output_dir", out, *SMALL, "--max_epochs", str(LAST), "--val_interval", "1", "--resume", "true",
    ]  # fmt: skip
    environment = {**os.environ, "TORCH_DISABLE_SHARE_RDZV_TCP_STORE": "1"}  # see docs/training.md
    with log.open("w") as file:
        return subprocess.Popen(list(map(str, command)), cwd=ROOT, env=environment, stdout=file, stderr=file)


@pytest.fixture(scope="module")
def undisturbed(small_phantoms: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """Output folder of two processes, and what they printed."""
    folder = tmp_path_factory.mktemp("undisturbed")
    log = folder / "log"
    agent = start(small_phantoms, folder / "out", log)
    assert agent.wait(600) == 0, log.read_text()[-4000:]
    return folder / "out", log.read_text()


def test_two_gloo_processes_train_together(undisturbed: tuple[Path, str]) -> None:
    out, printed = undisturbed
    assert printed.count("Target registration error") == 1
    assert (out / "model.pt").exists()


def test_a_lost_process_is_started_again_and_both_go_on_from_the_checkpoint(
    undisturbed: tuple[Path, str], small_phantoms: Path, tmp_path: Path
) -> None:
    """torchrun starts all processes anew after the SIGKILL of one; the weights are those of an undisturbed run."""
    log = tmp_path / "log"
    agent = start(small_phantoms, tmp_path / "lost", log, "--max_restarts=3")
    wait_for(tmp_path / "lost" / "checkpoints" / "checkpoint_epoch=1.pt", agent)
    os.kill(workers(agent.pid)[-1], signal.SIGKILL)
    assert agent.wait(600) == 0, log.read_text()[-4000:]
    assert "resuming after epoch" in log.read_text()
    straight, restarted = checkpoint(undisturbed[0], LAST), checkpoint(tmp_path / "lost", LAST)
    assert all(torch.equal(straight[key], restarted[key]) for key in straight)


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
