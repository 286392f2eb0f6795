"""Compare registration methods: `python -m scripts.benchmark run|report`."""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).absolute().parents[2]))  # run as a file, from any folder

from scripts.benchmark.methods import METHODS, ROOT, method_names
from scripts.cli import run


def benchmark(
    pairs_file: str,
    output_dir: str,
    section: str = "test",
    data: str | None = None,
    methods: str | Sequence[str] = tuple(METHODS),
    tools_python: str | None = None,
    weights: str = str(ROOT / "models" / "model.pt"),
    voxelmorph_weights: str | None = None,
    no_cost_volume_weights: str | None = None,
    threads: int | None = None,
) -> None:
    """Run METHODS on every pair of PAIRS_FILE and report all results in OUTPUT_DIR, including earlier ones.

    Methods run in turns on each pair. Results are stored in OUTPUT_DIR/DATA/PAIR/METHOD.json; later calls with the same
    settings skip them. Delete a file to repeat its run after a code change.

    Args:
        pairs_file: pairs file or a folder with one; the pairs need landmarks.
        output_dir: folder for results, tables and pictures, created if missing.
        section: section of the pairs file.
        data: name of the data set in the tables; default: name of the pairs file's folder.
        methods: comma-separated names, see `METHODS`.
        tools_python: Python of the environment of requirements-benchmark.txt, for elastix, ants and convexadam.
        weights: weights of the RRN.
        voxelmorph_weights: weights trained with configs/voxelmorph.json.
        no_cost_volume_weights: weights trained with configs/no_cost_volume.json.
        threads: threads per method; default: all cores.
    Raises: ValueError for a pair without landmarks or a method that lacks weights or Python; RuntimeError, after the
        report, if runs failed.
    """
    from scripts.benchmark.run import pairs_with_landmarks, run_benchmark

    path = Path(pairs_file).absolute()
    run_benchmark(
        pairs_with_landmarks(pairs_file, section),
        Path(output_dir).absolute(),
        data=data or (path if path.is_dir() else path.parent).name,
        methods=method_names(methods),
        weights={"rrn": weights, "voxelmorph": voxelmorph_weights, "no_cost_volume": no_cost_volume_weights},
        tools_python=tools_python,
        threads=threads or os.cpu_count() or 1,
    )


def report(output_dir: str) -> None:
    """Write the tables benchmark.md and benchmark.csv and the charts of all results in OUTPUT_DIR.

    Args:
        output_dir: folder of a benchmark.
    Raises: ValueError if the folder contains no result.
    """
    from scripts.benchmark.run import write_report

    write_report(Path(output_dir))


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    run({"run": benchmark, "report": report}, old_names={"out": "output_dir"})
