"""Time, memory and output of scripts.register before and after a change, measured in turns on one machine."""

from __future__ import annotations

import io
import re
import shutil
import statistics
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import NamedTuple

from bundle.io import check_header, read_landmarks_mm
from bundle.metrics import compute_tre_mm
from bundle.processors import THREADS, WAIT_POLICY, usable_processors
from bundle.reports.markdown import markdown_table
from scripts.benchmark.methods import ROOT
from scripts.benchmark.resources.process import Cost, run_measured
from scripts.benchmark.resources.write import write_rows

KINDS: dict[str, tuple[str, ...]] = {"default": (), "network only": ("--refine", "none")}
TWO = "two at once"
LANDMARKS = "moving_landmarks.csv"  # where scripts.register maps the fixed landmarks
# the settings of this process are not those of the revisions: an earlier one may not set them
DEFAULTS: dict[str, str | None] = dict.fromkeys((WAIT_POLICY, *THREADS))
DECIMALS = {"time_s": 1, "cpu_s": 1, "peak_memory_mib": 0, "written_mb": 1, "tre_mm": 3}
HEADER = ("pair, kind, quantity", "before", "after", "ratio")


class Run(NamedTuple):
    """One row of speed.csv: a run, or two at once: the time until both end, the sum of their CPU seconds."""

    pair: str
    kind: str
    side: str
    repeat: int
    time_s: float
    cpu_s: float
    peak_memory_mib: float
    written_mb: float
    tre_mm: float


def compare_speed(
    pairs: Sequence[Mapping[str, str]],
    directory: Path,
    *,
    before: str,
    after: Path = ROOT,
    repeats: int,
    masks: bool,
) -> Sequence[Run]:
    """Measure scripts.register of an earlier revision and of this one in turns; write speed.csv and speed.md.

    Args:
        pairs: absolute paths, with landmarks; fixed landmarks are mapped, which gives the TRE.
        directory: created if missing.
        before: folder of the earlier bundle, or a revision of this repository.
        after: folder of the later bundle.
        repeats: runs of each kind and side.
        masks: pass on the lung masks of the pairs.
    Raises: ValueError if `before` is neither; RuntimeError if a run fails.
    """
    directory.mkdir(parents=True, exist_ok=True)
    runs: list[Run] = []
    with checked_out(before) as root:
        sides = {"before": root, "after": after}
        for repeat in range(repeats):
            for pair in pairs:
                for kind in (*KINDS, TWO):
                    for side, folder in sides.items():
                        label = f"{pair['name']}_{kind}_{side}_{repeat}".replace(" ", "_")
                        command = command_of(folder, pair, KINDS.get(kind, ()), masks=masks)
                        number = 2 if kind == TWO else 1
                        measured = _measure(folder, command, directory / "logs" / label, pair, number)
                        runs.append(Run(pair["name"], kind, side, repeat, *measured))
                        write_rows(directory / "speed", runs, speed_markdown(runs), numbers=".6g")
    return runs


@contextmanager
def checked_out(before: str) -> Iterator[Path]:
    """The folder of a bundle: `before` itself, or a temporary one with the files of that revision."""
    if (Path(before) / "scripts" / "register.py").is_file():
        yield Path(before).absolute()
        return
    archive = subprocess.run(["git", "archive", before], cwd=ROOT, capture_output=True, check=False)
    if archive.returncode != 0:
        reason = archive.stderr.decode().strip()
        raise ValueError(f"before: expected a folder with scripts/register.py or a revision, got {before!r}: {reason}")
    with tempfile.TemporaryDirectory() as folder:
        with tarfile.open(fileobj=io.BytesIO(archive.stdout)) as files:
            files.extractall(folder, filter="data")
        yield Path(folder)


def command_of(root: Path, pair: Mapping[str, str], arguments: Sequence[str], *, masks: bool) -> list[str]:
    """The command that registers a pair with the bundle in `root`; its last word, the output folder, is missing."""
    signature = (root / "scripts" / "register.py").read_text()
    keys = [key for key in ("fixed", "moving", "fixed_series", "moving_series", "landmark_system") if key in pair]
    keys += [key for key in ("fixed_mask", "moving_mask") if masks and key in pair]
    words = [word for key in (*keys, "fixed_landmarks") for word in (f"--{key}", pair[key])]
    output = "--output_dir" if re.search(r"^    output_dir: str", signature, re.MULTILINE) else "--out"
    return [sys.executable, "-m", "scripts.register", *words, *arguments, output]


def _measure(
    root: Path, command: Sequence[str], folder: Path, pair: Mapping[str, str], number: int
) -> tuple[float, float, float, float, float]:
    """Time, CPU seconds, peak memory, megabytes written and mean TRE of `number` runs at once."""
    folders = [folder / str(index) for index in range(number)]
    results = [place / "result" for place in folders]
    for place in folders:
        place.mkdir(parents=True, exist_ok=True)
    with ThreadPoolExecutor(number) as pool:
        costs: list[Cost] = list(pool.map(partial(_run, root, command), folders, results))
    written = sum(path.stat().st_size for result in results for path in result.rglob("*") if path.is_file())
    tre_mm = statistics.fmean(_tre_mm(result / LANDMARKS, pair) for result in results)
    for result in results:
        shutil.rmtree(result)
    return (
        max(cost.time_s for cost in costs),
        sum(cost.cpu_s for cost in costs),
        max(cost.peak_memory_mib for cost in costs),
        written / 1e6,
        tre_mm,
    )


def _run(root: Path, command: Sequence[str], folder: Path, result: Path) -> Cost:
    return run_measured([*command, str(result)], folder=folder, cwd=root, environment=DEFAULTS)


def _tre_mm(mapped: Path, pair: Mapping[str, str]) -> float:
    scan = check_header(pair["moving"], pair.get("moving_series"))
    moving_mm = read_landmarks_mm(pair["moving_landmarks"], scan, system=pair.get("landmark_system"))
    return float(compute_tre_mm(read_landmarks_mm(mapped, None, system="lps"), moving_mm).mean())


def medians(runs: Sequence[Run]) -> dict[tuple[str, str, str], dict[str, float]]:
    """Median of each quantity by pair, kind and side, in the order of the first runs."""
    groups: dict[tuple[str, str, str], list[Run]] = {}
    for run in runs:
        groups.setdefault((run.pair, run.kind, run.side), []).append(run)
    return {
        key: {name: statistics.median(getattr(run, name) for run in of_key) for name in DECIMALS}
        for key, of_key in groups.items()
    }


def speed_markdown(runs: Sequence[Run]) -> str:
    """Medians before and after and their ratio; of two runs at once also their time over that of one run."""
    found = medians(runs)
    rows = []
    for pair, kind in dict.fromkeys((run.pair, run.kind) for run in runs):
        sides = [found.get((pair, kind, side), {}) for side in ("before", "after")]
        quantities = {name: [side.get(name) for side in sides] for name in DECIMALS}
        for name, (before, after) in quantities.items():
            rows.append(_row(f"{pair}, {kind}, {name}", before, after, DECIMALS[name]))
        if kind == TWO:
            ones = [found.get((pair, "default", side), {}).get("time_s") for side in ("before", "after")]
            shares = [two / one if two and one else None for two, one in zip(quantities["time_s"], ones, strict=True)]
            rows.append(_row(f"{pair}, {kind}, time over that of one", shares[0], shares[1], 2))
    repeats = 1 + max(run.repeat for run in runs)
    note = (
        f"Medians of {repeats} runs of the whole command, in turns, on {usable_processors()} processors; each revision "
        "with its own default settings. TRE: mean over the landmarks, from the mapped landmarks of each run."
    )
    return "\n".join(["# Speed", "", note, "", *markdown_table(HEADER, rows), ""])


def _row(name: str, before: float | None, after: float | None, decimals: int) -> list[str]:
    cells = ["–" if value is None else f"{value:.{decimals}f}" for value in (before, after)]
    return [name, *cells, f"{after / before:.2f}" if before and after else "–"]
