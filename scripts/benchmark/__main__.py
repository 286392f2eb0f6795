"""Compare registration methods, or two revisions: `python -m scripts.benchmark run|report|speed|cost|throughput`."""

from __future__ import annotations

import logging
import sys
from collections.abc import Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).absolute().parents[2]))  # run as a file, from any folder

from bundle.processors import usable_processors
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
        threads: threads per method; default: one for each processor that this process may use.
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
        threads=threads or usable_processors(),
    )


def report(output_dir: str) -> None:
    """Write the tables benchmark.md and benchmark.csv and the charts of all results in OUTPUT_DIR.

    Args:
        output_dir: folder of a benchmark.
    Raises: ValueError if the folder contains no result.
    """
    from scripts.benchmark.run import write_report

    write_report(Path(output_dir))


def speed(
    pairs_file: str, output_dir: str, before: str, section: str = "test", repeats: int = 3, masks: bool = False
) -> None:
    """Measure scripts.register of an earlier revision and of this one in turns; write speed.csv and speed.md.

    Kinds of runs: default, network only, and two default runs at once. Nothing else should run on the machine.

    Args:
        pairs_file: pairs file or a folder with one; the pairs need landmarks.
        output_dir: folder for tables and logs, created if missing.
        before: folder of the earlier bundle, or a revision of this repository.
        section: section of the pairs file.
        repeats: runs of each kind; medians are reported.
        masks: pass on the lung masks of the pairs.
    Raises: ValueError for a pair without landmarks or an unknown revision; RuntimeError if a run fails.
    """
    from scripts.benchmark.resources.speed import compare_speed, speed_markdown
    from scripts.benchmark.run import pairs_with_landmarks

    if repeats < 1:
        raise ValueError(f"repeats: expected at least 1, got {repeats}")
    pairs = pairs_with_landmarks(pairs_file, section)
    runs = compare_speed(pairs, Path(output_dir).absolute(), before=before, repeats=repeats, masks=masks)
    logging.getLogger(__name__).info(speed_markdown(runs))


def cost(
    output_dir: str,
    sides: tuple[int, ...] = (64, 96, 128),
    steps: int = 3,
    fixed: str | None = None,
    moving: str | None = None,
    million_voxels: tuple[float, ...] = (0.5, 2.0, 8.0),
) -> None:
    """Measure time and memory against voxels: RRN, VoxelMorph, and scripts.register; write cost.csv, .md and .png.

    Nothing else should run on the machine.

    Args:
        output_dir: folder for the tables, the picture and the logs, created if missing.
        sides: of the networks' cubic inputs, multiples of 32; 256 needs 12 GB.
        steps: of each network; the first is not counted.
        fixed, moving: scans that are resampled and registered; without them only the networks are measured.
        million_voxels: sizes to which the scans are resampled.
    Raises: ValueError for one scan without the other; RuntimeError if a run fails.
    """
    from scripts.benchmark.resources.cost import cost_markdown, measure_costs

    if (fixed is None) != (moving is None):
        raise ValueError(f"fixed, moving: expected both scans or neither, got {fixed} and {moving}")
    scans = (fixed, moving) if fixed and moving else None
    rows = measure_costs(
        Path(output_dir).absolute(), sides=sides, steps=steps, scans=scans, million_voxels=million_voxels
    )
    logging.getLogger(__name__).info(cost_markdown(rows))


def response() -> None:
    """Measure how soon commands answer that need no network: help, the fault of a header, 500 DICOM slices."""
    from scripts.benchmark.resources.response import measure_response

    measure_response()


def throughput(pairs_file: str, output_dir: str, rounds: int = 2) -> None:
    """Measure the pairs an hour of scripts.cohort and of one process in turns; write throughput.csv and .md.

    Nothing else should run on the machine.

    Args:
        pairs_file: pairs file or a folder with one, of 8 pairs or more.
        output_dir: folder for tables and logs, created if missing.
        rounds: runs of each kind.
    Raises: RuntimeError if a run fails.
    """
    from scripts.benchmark.resources.throughput import measure_throughput, throughput_markdown

    if rounds < 1:
        raise ValueError(f"rounds: expected at least 1, got {rounds}")
    runs = measure_throughput(Path(pairs_file).absolute(), Path(output_dir).absolute(), rounds=rounds)
    logging.getLogger(__name__).info(throughput_markdown(runs))


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    run(
        {
            "run": benchmark,
            "report": report,
            "speed": speed,
            "cost": cost,
            "response": response,
            "throughput": throughput,
        },
        old_names={"out": "output_dir"},
    )
