"""Time and memory of our LNCC loss and MONAI's, forward and backward."""

from __future__ import annotations

import csv
import logging
import multiprocessing
import os
import statistics
import sys
import time
import warnings
from pathlib import Path
from typing import TYPE_CHECKING

sys.path.insert(0, str(Path(__file__).absolute().parents[2]))  # run as a file, from any folder

from scripts.cli import run

if TYPE_CHECKING:
    from torch import nn

log = logging.getLogger(__name__)
WINDOW_VOX = 5
SEED = 0


def benchmark_losses(
    output: str = "docs/benchmarks/losses.csv",
    sides: tuple[int, ...] = (64, 96, 128),
    repeats: int = 9,
    threads: int = 2,
) -> None:
    """Measure both losses on noise of SIDE^3 voxels, print the table and write it to OUTPUT.

    Args:
        output: CSV file, one row per loss and side.
        sides: sides of the cubic images, in voxels.
        repeats: timed runs after one warm-up run; the median is reported.
        threads: threads of torch, reported as the device.
    """
    import monai
    import torch

    from bundle.io import atomic_path
    from bundle.reports.markdown import markdown_table

    # For the measuring processes: waiting threads that spin slow each other down on a busy machine.
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
    Path(output).parent.mkdir(parents=True, exist_ok=True)
    with atomic_path(output) as temporary, temporary.open("w", newline="") as file:
        writer = csv.DictWriter(file, fieldnames=list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
    for line in markdown_table(list(rows[0]), [[str(value) for value in row.values()] for row in rows]):
        log.info("%s", line)


def _ours() -> nn.Module:
    from bundle.losses import LocalCrossCorrelationLoss

    return LocalCrossCorrelationLoss(window_vox=WINDOW_VOX)


def _monai() -> nn.Module:
    from monai.losses import LocalNormalizedCrossCorrelationLoss

    return LocalNormalizedCrossCorrelationLoss(kernel_size=WINDOW_VOX, kernel_type="rectangular")


LOSSES = {
    "LocalCrossCorrelationLoss (ours)": _ours,
    "LocalNormalizedCrossCorrelationLoss (MONAI)": _monai,
}


def _measure_alone(name: str, side: int, repeats: int, threads: int) -> dict[str, str]:
    """Measure in a new process, so that the peak memory is that of one loss."""
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(_measure, (name, side, repeats, threads))


def _measure(name: str, side: int, repeats: int, threads: int) -> dict[str, str]:
    """Median and range of the seconds of forward and backward, and the memory they add to the process's peak."""
    import torch

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
    """Memory of this process on Linux: VmRSS now, VmHWM at its peak (`getrusage` would include the parent's)."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(f"{key}:"):
            return float(line.split()[1]) / 1024
    raise RuntimeError(f"/proc/self/status: expected a line {key}, found none")


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    run(benchmark_losses, old_names={"out": "output"})
