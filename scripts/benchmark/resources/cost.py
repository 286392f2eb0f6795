"""How time and memory grow with the number of voxels: of networks, and of scripts.register."""

from __future__ import annotations

import csv
import json
import statistics
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from monai.data import MetaTensor
from monai.transforms import LoadImage, Resize, SaveImage

from bundle.io import atomic_path
from bundle.reports.markdown import markdown_table
from scripts.benchmark.methods import ROOT
from scripts.benchmark.resources.network_step import CONFIGS, KINDS
from scripts.benchmark.resources.process import run_measured

REGISTER = "scripts.register"
DPI = 110


class Row(NamedTuple):
    """Cost of one run: seconds of a step or of the whole command, and peak memory of its process."""

    what: str
    kind: str
    voxels: int
    time_s: float
    peak_memory_mib: float


def measure_costs(
    directory: Path, *, sides: Sequence[int], steps: int, scans: tuple[str, str] | None, million_voxels: Sequence[float]
) -> list[Row]:
    """Measure each row in its own process; write cost.csv, cost.md and cost.png after every row.

    Args:
        directory: created if missing.
        sides: of the networks' cubic inputs, multiples of 32.
        steps: of each network; the first is not counted, the median of the others is.
        scans: fixed and moving scan, resampled to each of `million_voxels` and registered; None for networks only.
    Raises: RuntimeError if a run fails.
    """
    directory.mkdir(parents=True, exist_ok=True)
    rows: list[Row] = []
    for side in sides:
        for network in CONFIGS:
            for kind in KINDS:
                rows.append(_network_row(directory, network, kind, side, steps))
                write_costs(directory, rows)
    for million in million_voxels if scans else ():
        rows.append(_register_row(directory, scans or ("", ""), million))
        write_costs(directory, rows)
    return rows


def _network_row(directory: Path, network: str, kind: str, side: int, steps: int) -> Row:
    folder = directory / "logs" / f"{network}_{kind}_{side}".replace(" ", "_")
    folder.mkdir(parents=True, exist_ok=True)
    result = folder / "steps_s.json"
    module = "scripts.benchmark.resources.network_step"
    options = {"network": network, "kind": kind, "side": side, "steps": steps, "result": result}
    words = [word for name, value in options.items() for word in (f"--{name}", str(value))]
    command = [sys.executable, "-m", module, *words]
    cost = run_measured(command, folder=folder, cwd=ROOT, environment={})
    return Row(network, kind, side**3, statistics.median(json.loads(result.read_text())), cost.peak_memory_mib)


def _register_row(directory: Path, scans: tuple[str, str], million_voxels: float) -> Row:
    folder = directory / "logs" / f"register_{million_voxels:g}"
    folder.mkdir(parents=True, exist_ok=True)
    names, voxels = {}, 0
    for name, scan in zip(("fixed", "moving"), scans, strict=True):
        image = resample_to(LoadImage(image_only=True, ensure_channel_first=True)(scan), round(million_voxels * 1e6))
        names[name] = str(folder / f"{name}.nii.gz")
        SaveImage(output_postfix="", separate_folder=False, print_log=False)(image, filename=str(folder / name))
        voxels = voxels or image[0].numel()
    options = [word for name, path in names.items() for word in (f"--{name}", path)]
    command = [sys.executable, "-m", "scripts.register", *options, "--output_dir", str(folder / "result")]
    cost = run_measured(command, folder=folder, cwd=ROOT, environment={})
    return Row(REGISTER, "default", voxels, cost.time_s, cost.peak_memory_mib)


def resample_to(image: MetaTensor, voxels: int) -> MetaTensor:
    """Resample (1, H, W, D) trilinearly to about `voxels` voxels that span the same box."""
    ratio = (voxels / image[0].numel()) ** (1 / 3)
    sides = [max(1, round(side * ratio)) for side in image.shape[1:]]
    return Resize(sides, mode="trilinear", align_corners=False)(image)


def cost_markdown(rows: Sequence[Row]) -> str:
    """Table of all rows."""
    cells = [
        [row.what, row.kind, f"{row.voxels / 1e6:.2f}", f"{row.time_s:.2f}", f"{row.peak_memory_mib:.0f}"]
        for row in rows
    ]
    return "\n".join([*markdown_table(["what", "run", "million voxels", "time, s", "peak memory, MiB"], cells), ""])


def write_costs(directory: Path, rows: Sequence[Row]) -> None:
    """Write cost.csv, cost.md and the picture cost.png."""
    with atomic_path(directory / "cost.csv") as path, path.open("w", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(Row._fields)
        writer.writerows([*row[:3], f"{row.time_s:.3f}", f"{row.peak_memory_mib:.0f}"] for row in rows)
    with atomic_path(directory / "cost.md") as path:
        path.write_text(cost_markdown(rows), encoding="utf-8")
    figure = Figure(figsize=(10, 4), layout="constrained")
    FigureCanvasAgg(figure)
    for axes, quantity, label in zip(
        figure.subplots(1, 2), ("time_s", "peak_memory_mib"), ("time, s", "peak memory, MiB"), strict=True
    ):
        for what, kind in dict.fromkeys((row.what, row.kind) for row in rows):
            of_line = [row for row in rows if (row.what, row.kind) == (what, kind)]
            axes.loglog(
                [row.voxels for row in of_line],
                [getattr(row, quantity) for row in of_line],
                "o-",
                label=f"{what}, {kind}",
            )
        axes.set(xlabel="voxels", ylabel=label)
        axes.grid(which="major", alpha=0.4)
    figure.axes[0].legend(fontsize="small")
    with atomic_path(directory / "cost.png") as path:
        figure.savefig(path, dpi=DPI, format="png")
