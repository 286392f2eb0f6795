"""Inference or training steps of a network on noise, to be measured in a process of their own."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import TYPE_CHECKING

from scripts.cli import run  # first: it sets the threads before torch is loaded

if TYPE_CHECKING:
    import torch
    from torch import Tensor, nn

ROOT = Path(__file__).absolute().parents[3]
CONFIGS = {"RRN": ["train.json"], "VoxelMorph": ["train.json", "voxelmorph.json"]}
KINDS = ("inference", "training step")


def steps_s(network: str, kind: str, side: int, steps: int) -> list[float]:
    """Seconds of each step but the first, or of the only one.

    Args:
        network: RRN or VoxelMorph, from its training configuration, with its loss and optimiser.
        kind: inference or training step, of one pair.
        side: of the pair's cubic scans.
        steps: how many.
    """
    import torch
    from monai.bundle import ConfigParser

    parser = ConfigParser()
    parser.read_config([str(ROOT / "configs" / name) for name in CONFIGS[network]])
    parser.update({"device": torch.device("cpu")})
    model: nn.Module = parser.get_parsed_content("network")
    loss, optimizer = parser.get_parsed_content("loss"), parser.get_parsed_content("optimizer")
    label = torch.rand((1, 3, side, side, side), generator=torch.Generator().manual_seed(0))
    seconds = []
    for _ in range(steps):
        started_s = time.perf_counter()
        if kind == "inference":
            with torch.inference_mode():
                model.eval()(label[:, :2])
        else:
            _train(model, loss, optimizer, label)
        seconds.append(time.perf_counter() - started_s)
    return seconds[1:] or seconds


def _train(model: nn.Module, loss: nn.Module, optimizer: torch.optim.Optimizer, label: Tensor) -> None:
    optimizer.zero_grad()
    loss(model.train()(label[:, :2]), label).backward()
    optimizer.step()


def write_steps(network: str, kind: str, side: int, steps: int, result: str) -> None:
    """Write the seconds of each step to the JSON file RESULT; see `steps_s`."""
    Path(result).write_text(json.dumps(steps_s(network, kind, side, steps)))


if __name__ == "__main__":
    run(write_steps)
