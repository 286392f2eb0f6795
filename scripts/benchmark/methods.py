"""The methods of the benchmark: what each is called and how it is run on a pair."""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
OVERLAYS = {"voxelmorph": "voxelmorph.json", "no_cost_volume": "no_cost_volume.json"}
SCAN_KEYS = ("fixed", "moving", "fixed_mask", "moving_mask")  # what a method is told about a pair: no landmarks
TOOL_KEYS = ("fixed", "moving", "fixed_mask")
FIELD = "displacement.nii.gz"  # what it must leave in its folder
NO_REGISTRATION = "none"  # the one method that leaves nothing


@dataclass(frozen=True)
class Method:
    """A row of the benchmark.

    Args:
        label: what tables and pictures call it.
        tool: one of `scripts.benchmark.tool`, in its own environment.
        script: module of ours that registers without a network.
        network: key of its weights and, if in `OVERLAYS`, of its config over inference.json.
        arguments: further ones of the inference workflow.
    """

    label: str
    tool: str | None = None
    script: str | None = None
    network: str | None = None
    arguments: tuple[str, ...] = ()


METHODS = {
    NO_REGISTRATION: Method("no registration"),
    "alignment": Method("initial alignment", script="scripts.benchmark.alignment"),
    "elastix": Method("elastix", tool="elastix"),
    "ants": Method("ANTs SyN", tool="ants"),
    "convexadam": Method("convexAdam", tool="convexadam"),
    "voxelmorph": Method("VoxelMorph", network="voxelmorph", arguments=("--refine", "none")),
    "no_cost_volume": Method("RRN without cost volume", network="no_cost_volume", arguments=("--refine", "none")),
    "rrn": Method("RRN", network="rrn", arguments=("--refine", "none")),
    "rrn_optimized": Method("RRN + refinement", network="rrn", arguments=("--refine", "field")),
    "rrn_fine_tuned": Method("RRN, adapted to the pair", network="rrn", arguments=("--refine", "network")),
}


@dataclass(frozen=True)
class Job:
    """A method on a pair.

    Args:
        command: leaves `FIELD` in `folder`; empty for no registration.
        folder: the method's own.
        files: besides the pair, what the result depends on.
    """

    command: list[str]
    folder: Path
    files: list[Path]

    def settings(self, pair: Mapping[str, str], threads: int) -> str:
        """Digest of all that the result depends on, but for the code of the bundle itself."""
        digest = hashlib.sha256(repr([word for word in self.command if word != str(self.folder)]).encode())
        digest.update(str(threads).encode())
        scans = [Path(pair[key]) for key in pair if key != "name"]
        for path in [*self.files, *(path for scan in scans for path in _files_of(scan))]:
            digest.update(path.read_bytes())
        return digest.hexdigest()[:16]


def method_names(methods: str | Sequence[str]) -> list[str]:
    """Names given as one text, separated by commas, or as the tuple that fire makes of it."""
    return methods.split(",") if isinstance(methods, str) else list(methods)


def make_job(
    name: str,
    pair: Mapping[str, str],
    folder: Path,
    *,
    weights: Mapping[str, str | None],
    tools_python: str | None,
) -> Job:
    """How to run a method on a pair.

    Args:
        name: key of `METHODS`.
        pair: absolute paths; its masks are given to ours, its fixed mask to the tools, its landmarks and initial
            transform to none.
        folder: for the result.
        weights: file of each network by its key.
        tools_python: interpreter of the environment of requirements-benchmark.txt.
    Raises: ValueError for an unknown method, missing weights or a missing interpreter.
    """
    if name not in METHODS:
        raise ValueError(f"methods: expected some of {', '.join(METHODS)}, got {name!r}")
    method = METHODS[name]
    keys = SCAN_KEYS if method.tool is None else TOOL_KEYS
    scans = [word for key in keys if key in pair for word in (f"--{key}", pair[key])]
    if method.tool is not None:
        if tools_python is None:
            raise ValueError(f"{name}: --tools_python must name the Python of requirements-benchmark.txt, got None")
        script = ROOT / "scripts" / "benchmark" / "tool.py"
        return Job([tools_python, str(script), method.tool, *scans, "--out", str(folder)], folder, [script])
    if method.script is not None:
        return Job([sys.executable, "-m", method.script, *scans, "--out", str(folder)], folder, [])
    if method.network is None:
        return Job([], folder, [])
    file = weights.get(method.network)
    if file is None or not Path(file).is_file():
        raise ValueError(f"{name}: expected a file with the weights of {method.network}, got {file!r}")
    configs = [f"configs/{config}" for config in ("inference.json", OVERLAYS.get(method.network)) if config]
    command = [sys.executable, "-m", "monai.bundle", "run", "inference", "--config_file", repr(configs)]
    command += ["--bundle_root", str(ROOT), "--weights", str(Path(file).resolve()), *method.arguments]
    files = [Path(file), *(ROOT / config for config in configs)]
    return Job([*command, *scans, "--output_dir", str(folder)], folder, files)


def _files_of(scan: Path) -> list[Path]:
    """A file, or those of a DICOM series."""
    return sorted(path for path in scan.rglob("*") if path.is_file()) if scan.is_dir() else [scan]
