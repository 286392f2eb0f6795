"""The commands of the README in processes of their own, on small phantoms."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import torch

ROOT = Path(__file__).parents[2]
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


def checkpoint(out: Path, epoch: int) -> dict[str, torch.Tensor]:
    return torch.load(out / "checkpoints" / f"checkpoint_epoch={epoch}.pt", weights_only=True)["network"]


def wait_for(path: Path, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + 600
    while not path.exists():
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.02)
