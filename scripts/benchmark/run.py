"""Run registration methods on pairs, each run in its own process, and report the results."""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from monai.transforms import Compose, LoadImaged
from torch import Tensor
from tqdm import tqdm
from tqdm.contrib.logging import logging_redirect_tqdm

from bundle.apply import displacement_on
from bundle.data import check_pairs, read_pairs
from bundle.io import ImageHeader, ScanReader, read_displacement, read_transform
from bundle.lung import LungRegiond
from bundle.processors import usable_processors
from bundle.transforms import FitMasksd, ReadLandmarksd
from scripts.benchmark.charts import draw_tre_by_displacement, draw_tre_distribution
from scripts.benchmark.methods import FIELD, METHODS, NO_REGISTRATION, ROOT, Job, make_job
from scripts.benchmark.overlays import draw_benchmark_overlays
from scripts.benchmark.resources.process import Cost, run_measured
from scripts.benchmark.result import BenchmarkResult, score_field
from scripts.benchmark.table import write_benchmark_tables

log = logging.getLogger(__name__)

LABELS = {name: method.label for name, method in METHODS.items()}
NO_COST = Cost(math.nan, math.nan, math.nan)
TRANSFORM = "transform.h5"  # output of our own methods
GRID_TOLERANCE_MM = 1e-2  # NIfTI stores its affine in single precision


def run_benchmark(
    pairs: Sequence[Mapping[str, str]],
    directory: Path,
    *,
    data: str,
    methods: Sequence[str],
    weights: Mapping[str, str | None],
    tools_python: str | None,
    threads: int,
) -> None:
    """Run methods on pairs in turns, skip finished runs, and report all results of a directory.

    Args:
        pairs: absolute paths, with landmarks.
        directory: absolute path; created if missing.
        data: name of the data set.
        methods: keys of `METHODS`.
        weights, tools_python: see `make_job`.
        threads: threads per method.
    Raises: ValueError, see `make_job`; RuntimeError, after the report, if runs failed.
    """
    folder = directory / data
    jobs = {
        pair["name"]: {
            name: make_job(name, pair, folder / pair["name"] / name, weights=weights, tools_python=tools_python)
            for name in methods
        }
        for pair in pairs
    }
    failures: list[str] = []
    with tqdm(total=len(pairs) * len(methods), unit="run") as progress, logging_redirect_tqdm():
        for pair in pairs:
            failures += _run_case(pair, jobs[pair["name"]], threads, progress)
    write_report(directory)
    if failures:
        raise RuntimeError(f"{len(failures)} runs failed:\n" + "\n".join(failures))


def write_report(directory: Path) -> None:
    """Write the tables and charts of all results in a directory. Raises: ValueError if it contains none."""
    results = [BenchmarkResult.read(path) for path in sorted(directory.glob("*/*/*.json"))]
    if not results:
        raise ValueError(f"{directory}: expected at least one benchmark result DATA/PAIR/METHOD.json, found none")
    write_benchmark_tables(directory, results, LABELS)
    draw_tre_distribution(directory / "tre_distribution.png", results, LABELS)
    draw_tre_by_displacement(directory / "tre_by_displacement.png", results, LABELS)
    log.info((directory / "benchmark.md").read_text())


def pairs_with_landmarks(pairs_file: str, section: str) -> list[dict[str, str]]:
    """Read and check the pairs of a section. Raises: ValueError for a pair without landmarks; see `check_pairs`."""
    pairs = check_pairs(read_pairs(pairs_file, section=section))
    for pair in pairs:
        if not {"fixed_landmarks", "moving_landmarks"} <= pair.keys():
            raise ValueError(f"{pairs_file}: pair {pair['name']!r} needs fixed_landmarks and moving_landmarks")
    return pairs


def _run_case(pair: Mapping[str, str], jobs: Mapping[str, Job], threads: int, progress: tqdm) -> list[str]:
    """Run the unfinished methods of a pair and draw its picture; return the failures."""
    case: dict[str, Any] = {}  # loaded when the first result is scored
    failures = []
    for name, job in jobs.items():
        progress.set_description(f"{pair['name']}, {name}")
        settings = job.settings(pair, threads)
        file = job.folder.with_suffix(".json")
        result = BenchmarkResult.read(file) if file.exists() else None
        if result is None or result.settings != settings:
            case = case or _load_case(pair)
            try:
                result = _run(name, job, case, settings, threads)
            except (RuntimeError, FileNotFoundError) as error:
                log.error("%s, %s: %s", pair["name"], name, error)  # the other methods still run
                failures.append(f"{pair['name']}, {name}: {job.folder / 'log.txt'}")
                file.unlink(missing_ok=True)  # an earlier result had other settings
            else:
                result.write(file)
        progress.update()
    if case:
        _draw_overlays(case, next(iter(jobs.values())).folder.parent)
    return failures


def _run(name: str, job: Job, case: Mapping[str, Any], settings: str, threads: int) -> BenchmarkResult:
    fixed, moving = case["fixed_landmarks"], case["moving_landmarks"]
    cost = NO_COST
    if job.command:
        job.folder.mkdir(parents=True, exist_ok=True)
        for file in (FIELD, TRANSFORM):
            (job.folder / file).unlink(missing_ok=True)
        environment = {key: str(threads) for key in ("OMP_NUM_THREADS", "ITK_GLOBAL_DEFAULT_NUMBER_OF_THREADS")}
        cost = run_measured(job.command, folder=job.folder, cwd=ROOT, environment=environment)
    job.folder.parent.mkdir(parents=True, exist_ok=True)
    score = score_field(
        _field_mm(job.folder, case),
        case["fixed"].affine,
        fixed_mm=fixed,
        moving_mm=moving,
        fixed_mask=case["fixed_mask"][0].as_tensor(),
    )
    initial_mm = torch.linalg.vector_norm(fixed - moving, dim=1).tolist()
    data, pair_name = job.folder.parts[-3:-1]
    machine = f"{usable_processors()} CPU cores ({threads} threads per method)"
    if torch.cuda.is_available():
        machine += f", {torch.cuda.get_device_name()}"
    costs = cost.time_s, cost.peak_memory_mib
    return BenchmarkResult(data, pair_name, name, initial_mm, *score, *costs, machine=machine, settings=settings)


def _load_case(pair: Mapping[str, str]) -> dict[str, Any]:
    """Load scans, landmarks and the fixed lung mask; segment the lungs if the pair has no mask."""
    keys = ["fixed", "moving", "fixed_mask"]
    load = LoadImaged(keys, reader=ScanReader, ensure_channel_first=True, allow_missing_keys=True)
    return Compose([load, FitMasksd(["fixed"]), ReadLandmarksd(["fixed", "moving"]), LungRegiond(["fixed"])])(
        dict(pair)
    )


def _field_mm(folder: Path, case: Mapping[str, Any]) -> Tensor:
    """Field (3, H, W, D), RAS mm, of a method: its file, or that of its transform; zero for no registration."""
    fixed = case["fixed"]
    if folder.name == NO_REGISTRATION:
        return torch.zeros(3, *fixed.shape[1:])
    if not (folder / FIELD).exists() and (folder / TRANSFORM).exists():
        return displacement_on(read_transform(folder / TRANSFORM), ImageHeader.of(fixed))
    field_mm, affine = read_displacement(folder / FIELD)
    if field_mm.shape[1:] != fixed.shape[1:] or (affine - fixed.affine.double()).abs().max() > GRID_TOLERANCE_MM:
        raise RuntimeError(
            f"{folder / FIELD}: expected the fixed grid {tuple(fixed.shape[1:])}, {fixed.affine.tolist()}, "
            f"got {tuple(field_mm.shape[1:])}, {affine.tolist()}"
        )
    return field_mm


def _draw_overlays(case: Mapping[str, Any], folder: Path) -> None:
    """Draw all results in the folder of a pair, including earlier ones."""
    files = {name: folder / f"{name}.json" for name in METHODS}
    results = {name: BenchmarkResult.read(file) for name, file in files.items() if file.exists()}
    if not results:
        return
    headings = {name: f"{LABELS[name]}\n{sum(r.tre_mm) / len(r.tre_mm):.2f} mm" for name, r in results.items()}
    draw_benchmark_overlays(
        folder / "overlays.png",
        fixed=case["fixed"][0].as_tensor(),
        moving=case["moving"][0].as_tensor(),
        affine=case["fixed"].affine,
        moving_affine=case["moving"].affine,
        mask=case["fixed_mask"][0].as_tensor(),
        displacements_mm={heading: _field_mm(folder / name, case) for name, heading in headings.items()},
        title=f"{case['name']}: fixed green, warped magenta; mean TRE",
    )
