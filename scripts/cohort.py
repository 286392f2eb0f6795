"""Register a cohort: thousands of pairs on one machine or a Ray cluster."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).absolute().parents[1]))  # run as a file, from any folder

from scripts.cli import quiet, run


def cohort(
    pairs: str,
    output_dir: str,
    address: str | None = None,
    workers: int | None = None,
    threads: int = 1,
    gpus: float | None = None,
    memory_gib: float | None = None,
    pair_timeout_s: float | None = None,
    shard: str | None = None,
    dry_run: bool = False,
    overwrite: bool = False,
    refine: str | None = None,
    refine_budget_s: float | None = None,
    spacing_mm: float | None = None,
    weights: str | None = None,
    write: str | Sequence[str] | None = None,
    maps: str | Sequence[str] | None = None,
    smooth_mm: float | None = None,
) -> None:
    """Register all PAIRS; each gets a folder in OUTPUT_DIR with what scripts.register writes.

    OUTPUT_DIR also gets status.jsonl and status.csv while it runs, then index.html (failed pairs first), verdicts.csv
    and summary.json, .md and .png. The same command resumes an interrupted run: finished pairs are skipped. A pair that
    cannot be registered is listed with its reason and does not stop the others. The exit code is 3 if there is one, or
    a verdict "failed".

    Args:
        pairs: CSV or TSV file with the columns name, fixed, moving and others of a pairs.json; a pairs.json, or a
            folder with one; a BIDS folder; or a folder with a folder for each DICOM study. Exhale and inhale scans that
            no name tells apart are told apart by lung volume and listed in OUTPUT_DIR/pairs.csv: look at it, then pass
            it as PAIRS.
        output_dir: folder for the results, created if missing.
        address: Ray cluster, such as "auto" or "10.0.0.1:6379"; this machine by default.
        workers: processes that register pairs; as many as processors, memory and GPUs allow by default.
        threads: processors of each.
        gpus: share of a GPU for each; 0.25 by default where there are GPUs.
        memory_gib: most memory that each may allocate, GiB; a pair that needs more fails alone. No limit by default.
        pair_timeout_s: seconds after which a pair is given up; no limit by default.
        shard: part of PAIRS that this run does, such as "3/10", for schedulers without Ray.
        dry_run: check the headers of all pairs and estimate hours and disk; register nothing.
        overwrite: remove the results of all pairs, in a folder of any version, and register them again.
        refine: see `python -m scripts.register --help`.
        refine_budget_s: time limit of the instance optimisation, seconds; none by default.
        spacing_mm: voxel size of the grid that carries the field, 0.5 to 10 mm; 1.5 by default.
        weights: weights file of the network, with its recipe beside it; the released one by default.
        write: further results, separated by commas: displacement, inverse, dicom.
        maps: maps of lung function, separated by commas, or "all".
        smooth_mm: their smoothing: sigma of a Gaussian, mm.
    """
    if smooth_mm is not None and maps is None:
        raise ValueError(f"--smooth_mm: expected --maps, the maps that are smoothed, got {smooth_mm:g} mm without maps")
    from bundle.formats import check_files
    from bundle.voxel_size import check_voxel_mm

    check_voxel_mm("--spacing_mm", spacing_mm)
    check_files({}, {"weights": weights})
    quiet()
    from bundle.cohort.run import WorkerOptions, run_cohort
    from bundle.refusals import FAILED

    options = {
        "refine": refine,
        "refine_budget_s": refine_budget_s,
        "spacing_mm": spacing_mm,
        "weights": None if weights is None else os.path.abspath(weights),
        "write": write.split(",") if isinstance(write, str) else write,
        "maps": maps,
        "smooth_mm": smooth_mm,
    }
    worker_options = WorkerOptions(
        address=address,
        workers=workers,
        threads=threads,
        gpus=gpus,
        memory_gib=memory_gib,
        timeout_s=pair_timeout_s,
    )
    has_failed = run_cohort(
        pairs,
        output_dir,
        options={name: value for name, value in options.items() if value is not None},
        worker_options=worker_options,
        shard=shard,
        dry_run=dry_run,
        overwrite=overwrite,
    )
    if has_failed:
        raise SystemExit(FAILED)


if __name__ == "__main__":
    run(cohort)
