"""Run the application in MONAI Deploy's own environment, as a user does."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

from tests.hosts.environments import ROOT, needs, python_of

PYTHON = python_of("deploy")
CUDA_RUNTIME = ROOT / ".venv-deploy" / "lib" / "python3.11" / "site-packages" / "nvidia" / "cu13" / "lib"

needs_deploy = needs("deploy")


def run_python(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    """Start the host's Python with what the SDK needs: libcudart.so.13 and a large stack."""
    return subprocess.run(
        ["bash", "-c", 'ulimit -s 32768 && exec "$@"', "bash", PYTHON, *arguments],
        cwd=ROOT,
        env={**os.environ, "LD_LIBRARY_PATH": str(CUDA_RUNTIME)},
        capture_output=True,
        text=True,
    )


def run_app(input_dir: Path, output_dir: Path, *options: str | Path) -> subprocess.CompletedProcess[str]:
    """Start the application on the series in `input_dir`."""
    return run_python("-m", "scripts.deploy.app", "--input", input_dir, "--output_dir", output_dir, *options)
