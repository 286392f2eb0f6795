"""Time and memory of the local correlation loss beside MONAI's, forward and backward."""

from __future__ import annotations

import csv
import logging
import multiprocessing
import os
import statistics
import time
import warnings
from pathlib import Path

import fire
import monai
import torch
from monai.losses import LocalNormalizedCrossCorrelationLoss
from torch import nn

from bundle.io import atomic_path
from bundle.losses import LocalCrossCorrelationLoss

log = logging.getLogger(__name__)
WINDOW_VOX = 5
SEED = 0


def benchmark_losses(
    out: str = "docs/benchmarks/losses.csv",
    sides: tuple[int, ...] = (64, 96, 128),
    repeats: int = 9,
    threads: int = 2,
) -> None:
    """Measure both losses on noise of SIDE^3 voxels, print the table and write it to OUT.

    Args:
        out: CSV file, one row a loss and side.
        sides: of the cubic images, in voxels.
        repeats: timed runs, after one to warm up; the median counts.
        threads: of torch; the table calls the machine by them.
    """
    # Read by the measuring processes when they load torch: threads that spin lose whole time slices on a busy machine.
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")
    rows = [
        {
            "loss": name,
            "side_vox": side,
            "window_vox": WINDOW_VOX,
            "device": f"{threads} CPU core{'s' if threads > 1 else ''}",
            **_measure_alone(name, side, repeats, threads),
            "torch": torch.__version__,
            "monai": monai.__version__,
        }
        for side in sides
        for name in LOSSES
    ]
    Path(out).parent.mkdir(parents=True, exist_ok=True)
    with atomic_path(out) as temporary, temporary.open("w", newline="") as file:
        writer = csv.DictWriter(file, fieldnames=list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
    for line in (list(rows[0]), ["---"] * len(rows[0]), *(list(row.values()) for row in rows)):
        log.info("| %s |", " | ".join(map(str, line)))


def _ours() -> nn.Module:
    return LocalCrossCorrelationLoss(window_vox=WINDOW_VOX)


def _monai() -> nn.Module:
    return LocalNormalizedCrossCorrelationLoss(kernel_size=WINDOW_VOX, kernel_type="rectangular")


LOSSES = {
    "LocalCrossCorrelationLoss (ours)": _ours,
    "LocalNormalizedCrossCorrelationLoss (MONAI)": _monai,
}


def _measure_alone(name: str, side: int, repeats: int, threads: int) -> dict[str, str]:
    """Measure in a new process, whose peak memory is its own."""
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(_measure, (name, side, repeats, threads))


def _measure(name: str, side: int, repeats: int, threads: int) -> dict[str, str]:
    """Seconds of forward and backward, median and range, and what they add to the process's memory at the peak."""
    torch.set_num_threads(threads)
    warnings.filterwarnings("ignore")
    generator = torch.Generator().manual_seed(SEED)
    pred, target = torch.rand((2, 1, 1, side, side, side), generator=generator).unbind()
    pred.requires_grad_()
    loss = LOSSES[name]()
    before_mib = _memory_mib("VmRSS")
    times_s = []
    for _ in range(repeats + 1):
        pred.grad = None
        start = time.perf_counter()
        loss(pred, target).backward()
        times_s.append(time.perf_counter() - start)
    times_s = times_s[1:]
    return {
        "time_s": f"{statistics.median(times_s):.4f}",
        "fastest_s": f"{min(times_s):.4f}",
        "slowest_s": f"{max(times_s):.4f}",
        "peak_memory_mib": f"{_memory_mib('VmHWM') - before_mib:.0f}",
    }


def _memory_mib(key: str) -> float:
    """Memory of this process from Linux: VmRSS now, VmHWM at its peak (`getrusage` would count the parent's, too)."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(f"{key}:"):
            return float(line.split()[1]) / 1024
    raise RuntimeError(f"/proc/self/status: no line {key}")


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    fire.Fire(benchmark_losses)
