"""An installation and a home that cannot be written, as in containers and on clusters."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
# Root may write whatever the permissions say, unless it gives up its capabilities.
WITHOUT_RIGHTS = ["setpriv", "--bounding-set=-all"] if hasattr(os, "geteuid") and os.geteuid() == 0 else []


def run(command: list[str | Path], folder: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    kept = {key: os.environ[key] for key in ("PATH", "OMP_NUM_THREADS") if key in os.environ}
    words = [*WITHOUT_RIGHTS, *map(str, command)]
    return subprocess.run(words, cwd=folder, env=kept | environment, capture_output=True, text=True, timeout=300)


@pytest.fixture(scope="module")
def installation(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    folder = tmp_path_factory.mktemp("installed") / "bundle_root"
    folder.mkdir()
    for name in ("bundle", "configs", "models", "scripts"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__", "model.ts"))
    paths = [folder, *folder.rglob("*")]
    for path in paths:
        path.chmod(0o555 if path.is_dir() else 0o444)
    try:
        done = run([sys.executable, "-c", "open('written', 'w')"], folder)
    except FileNotFoundError as error:
        done = subprocess.CompletedProcess([], 0, "", str(error))
    if done.returncode == 0:
        pytest.skip(f"no process without the rights of root here, read-only folders stay unchecked: {done.stderr}")
    yield folder
    for path in paths:
        path.chmod(0o755 if path.is_dir() else 0o644)


@pytest.mark.slow
@pytest.mark.parametrize("home", ["read-only", "none"])
def test_a_pair_is_registered_from_a_read_only_installation_without_a_home(
    home: str, installation: Path, small_phantoms: Path, tmp_path: Path
) -> None:
    case = small_phantoms / "test_00"
    command = [
        sys.executable, "-m", "monai.bundle", "run", "inference",
        "--config_file", installation / "configs" / "inference.json",
        "--fixed", case / "fixed.nii.gz", "--moving", case / "moving.nii.gz",
        "--spatial_size", "[32,32,32]", "--refine", "none", "--output_dir",
    ]  # fmt: skip
    environment = {"HOME": str(installation)} if home == "read-only" else {}
    done = run([*command, tmp_path / "result"], installation, **environment)
    assert (tmp_path / "result" / "report.json").is_file(), done.stderr[-3000:]
    refused = run([*command, "result"], installation, **environment)
    assert refused.returncode == 2
    assert refused.stderr.splitlines()[-1].startswith("result: the output folder cannot be created: Permission denied")
