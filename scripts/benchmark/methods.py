"""The methods of the benchmark: names, labels and commands."""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).absolute().parents[2]
CONFIG = "configs/inference.json"
SCAN_KEYS = ("fixed", "moving", "fixed_mask", "moving_mask")  # passed to a method; landmarks are not
TOOL_KEYS = ("fixed", "moving", "fixed_mask")
FIELD = "displacement.nii.gz"  # output of a method in its folder
NO_REGISTRATION = "none"  # the only method without output


@dataclass(frozen=True)
class Method:
    """A row of the benchmark.

    Args:
        label: name in tables and pictures.
        tool: tool of `scripts.benchmark.tool`, run in its own environment.
        script: module of this repository that registers without a network.
        network: key of its weights.
        arguments: additional arguments of the inference workflow.
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
    "rrn_optimized": Method("RRN + instance optimisation", network="rrn", arguments=("--refine", "field")),
    "rrn_fine_tuned": Method("RRN fine-tuned on the pair", network="rrn", arguments=("--refine", "network")),
}


@dataclass(frozen=True)
class Job:
    """One run of a method on a pair.

    Args:
        command: writes `FIELD` to `folder`; empty for no registration.
        folder: folder of this run.
        files: files other than the pair's that the result depends on.
    """

    command: list[str]
    folder: Path
    files: list[Path]

    def settings(self, pair: Mapping[str, str], threads: int) -> str:
        """Digest of everything the result depends on except the code of the bundle."""
        from bundle.data.pair import FILE_KEYS, OPTION_KEYS  # loads torch: not for --help

        digest = hashlib.sha256(repr([word for word in self.command if word != str(self.folder)]).encode())
        digest.update(str(threads).encode())
        if options := [(key, pair[key]) for key in OPTION_KEYS if key in pair]:
            digest.update(repr(options).encode())
        scans = [Path(pair[key]) for key in pair if key in FILE_KEYS]
        for path in [*self.files, *(path for scan in scans for path in _files_of(scan))]:
            digest.update(path.read_bytes())
        return digest.hexdigest()[:16]


def method_names(methods: str | Sequence[str]) -> list[str]:
    """Split comma-separated names; fire passes them as a tuple."""
    return methods.split(",") if isinstance(methods, str) else list(methods)


def make_job(
    name: str,
    pair: Mapping[str, str],
    folder: Path,
    *,
    weights: Mapping[str, str | None],
    tools_python: str | None,
) -> Job:
    """Build the run of a method on a pair.

    Args:
        name: key of `METHODS`.
        pair: absolute paths. Our methods get both masks, the tools the fixed mask; landmarks and initial transform are
            not passed on.
        folder: folder for the result.
        weights: weights file by network key.
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
        return Job([tools_python, str(script), method.tool, *scans, "--output_dir", str(folder)], folder, [script])
    if method.script is not None:
        return Job([sys.executable, "-m", method.script, *scans, "--output_dir", str(folder)], folder, [])
    if method.network is None:
        return Job([], folder, [])
    file = weights.get(method.network)
    if file is None or not Path(file).is_file():
        raise ValueError(f"{name}: expected a file with the weights of {method.network}, got {file!r}")
    recipe = Path(file).with_suffix(".json")
    if not recipe.is_file():
        raise ValueError(f"{name}: expected the recipe {recipe.name} beside {file}, found none")
    command = [sys.executable, "-m", "monai.bundle", "run", "inference", "--config_file", CONFIG]
    command += ["--bundle_root", str(ROOT), "--weights", str(Path(file).absolute()), *method.arguments]
    files = [Path(file), recipe, ROOT / CONFIG]
    return Job([*command, *scans, "--output_dir", str(folder)], folder, files)


def _files_of(scan: Path) -> list[Path]:
    """The file itself, or the files of a DICOM series."""
    return sorted(path for path in scan.rglob("*") if path.is_file()) if scan.is_dir() else [scan]
