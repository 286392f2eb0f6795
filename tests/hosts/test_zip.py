"""The zip of `scripts.package`, downloaded, loaded and run by MONAI in a folder without this repository."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from monai.bundle.utils import load_bundle_config

from bundle.refusals import FAILED
from scripts.package import NAME

ROOT = Path(__file__).parents[2]
pytestmark = pytest.mark.slow


def python(code: str, *arguments: str | Path, folder: Path) -> subprocess.CompletedProcess[str]:
    """Run Python as a stranger to this repository: in another folder, in a fresh process."""
    command = [sys.executable, "-c", code, *map(str, arguments)]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=300)


LOAD = """
import sys, torch
from monai.bundle import download, load
bundle_dir, url, name, workflow, path = sys.argv[1:]
download(name=name, url=url, bundle_dir=bundle_dir, progress=False)
sys.path += filter(None, [path])
network = load(name=name, bundle_dir=bundle_dir, source="github", workflow_type=workflow)
print(type(network).__module__, sum(value.numel() for value in network.parameters()))
"""


@pytest.mark.parametrize("workflow", ["train", "inference"])
def test_the_zip_is_loaded_with_weights_from_another_folder(packaged: Path, tmp_path: Path, workflow: str) -> None:
    url = (packaged / f"{NAME}.zip").as_uri()
    done = python(LOAD, tmp_path, url, NAME, workflow, tmp_path / NAME, folder=tmp_path)
    assert done.stdout.split()[-2:] == ["bundle.networks.rrn", "16652076"], done.stderr[-2000:]


def test_the_zip_is_not_loaded_where_its_folder_is_not_on_the_path(packaged: Path, tmp_path: Path) -> None:
    """MONAI puts a bundle on the path for `run` alone; should that change, docs/hosts.md can be shorter."""
    done = python(LOAD, tmp_path, (packaged / f"{NAME}.zip").as_uri(), NAME, "inference", "", folder=tmp_path)
    assert done.returncode != 0
    assert "bundle.data.bundle_root" in done.stderr


LOAD_TORCHSCRIPT = """
import sys, torch
from monai.bundle import download, load
bundle_dir, url, name = sys.argv[1:]
download(name=name, url=url, bundle_dir=bundle_dir, progress=False)
network, metadata, _ = load(name=name, bundle_dir=bundle_dir, source="github", load_ts_module=True)
print(metadata["version"], *network(torch.zeros(1, 2, 16, 32, 48)).shape)
"""


def test_the_torchscript_file_in_the_zip_needs_no_code_of_ours(packaged: Path, tmp_path: Path) -> None:
    done = python(LOAD_TORCHSCRIPT, tmp_path, (packaged / f"{NAME}.zip").as_uri(), NAME, folder=tmp_path)
    version = json.loads((ROOT / "configs" / "metadata.json").read_text())["version"]
    assert done.stdout.split()[-6:] == [version, "1", "3", "16", "32", "48"], done.stderr[-2000:]


@pytest.mark.parametrize("form", [NAME, f"{NAME}.zip"])
def test_configs_are_read_from_folder_and_zip(packaged: Path, form: str) -> None:
    parser = load_bundle_config(str(packaged / form), "inference.json")
    assert parser["_meta_#name"] == "Lung CT registration with RRN"
    assert parser["recipe#_target_"] == "bundle.io.read_recipe"


def test_inference_from_the_unpacked_zip_runs_in_another_folder(packaged: Path, noise: Path, tmp_path: Path) -> None:
    shutil.unpack_archive(packaged / f"{NAME}.zip", tmp_path)
    bundle = tmp_path / NAME
    done = subprocess.run(
        [
            sys.executable, "-m", "monai.bundle", "run", "--config_file", bundle / "configs" / "inference.json",
            "--bundle_root", bundle, "--fixed", noise / "test0_fixed.nii.gz", "--moving", noise / "test0_moving.nii.gz",
            "--output_dir", tmp_path / "out", "--spatial_size", "[32,32,32]", "--refine", "none",
        ],
        cwd=tmp_path, capture_output=True, text=True, timeout=300,
    )  # fmt: skip
    assert done.returncode == FAILED, done.stderr[-4000:]  # the verdict on noise
    assert (tmp_path / "out" / "warped.nii.gz").exists()
