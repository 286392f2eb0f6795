"""What the model zoo's checks demand, on the package as its pull request would hold it.

What `tests/test_configs.py` checks of the configs as they stand here stays there: network in and out, version.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import SimpleITK as sitk
import torch
from monai.bundle import ConfigParser, ConfigWorkflow, ckpt_export, download_large_files, verify_metadata

from scripts.package import LARGE_BYTES, NAME

ROOT = Path(__file__).parents[2]
SCHEMA = ROOT.parent / "shared" / "data" / "schema" / "meta_schema_20240725.json"
GIT = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True)
TRACKED = [ROOT / name for name in GIT.stdout.split("\0") if name]
PERSONAL_PATH = re.compile(r"(?<![\w.])/(?:root|home|Users)\b/?|\b[A-Z]:\\\\?\w")
INFERENCE_IDS = ("bundle_root", "device", "dataset_dir", "output_dir", "dataset", "evaluator", "network_def", "inferer")
TRAIN_IDS = (
    "bundle_root", "device", "dataset_dir", "output_dir", "val_interval",
    "train#trainer", "train#trainer#max_epochs", "train#dataset", "train#dataset#data", "train#handlers",
    "train#preprocessing", "train#inferer",
    "validate#evaluator", "validate#handlers", "validate#dataset", "validate#dataset#data",
    "validate#preprocessing", "validate#postprocessing", "validate#inferer", "validate#key_metric",
)  # fmt: skip


@pytest.mark.parametrize(("name", "ids"), [("inference.json", INFERENCE_IDS), ("train.json", TRAIN_IDS)])
def test_a_config_has_every_id_the_zoo_asks_for(name: str, ids: tuple[str, ...]) -> None:
    parser = ConfigParser(json.loads((ROOT / "configs" / name).read_text()))
    assert [key for key in ids if key not in parser] == []


def test_the_zoos_version_keys_and_files_are_there() -> None:
    metadata = json.loads((ROOT / "configs" / "metadata.json").read_text())
    assert metadata.keys() >= {"version", "changelog", "monai_version", "pytorch_version", "numpy_version"}
    assert isinstance(metadata["supported_apps"], dict)
    for name in ("LICENSE", "docs/README.md", "docs/data_license.txt", "models/model.pt", "models/model.json"):
        assert (ROOT / name).is_file()


def test_no_file_but_the_weights_is_too_large_for_the_zoo() -> None:
    """The package moves them to large_files.yml."""
    large = [path for path in TRACKED if path.stat().st_size > LARGE_BYTES]
    assert large == [ROOT / "models" / "model.pt"]


def test_no_file_names_a_personal_folder() -> None:
    for path in TRACKED:
        content = path.read_bytes()
        if b"\0" not in content and path.name != "niivue.min.js":  # text, of ours: a compiler left its own folder there
            assert not PERSONAL_PATH.search(content.decode()), path


@pytest.mark.parametrize("path", ["/ro" + "ot/a", "'/ho" + "me/x'", "/Us" + "ers/x", "C:" + "\\x"])
def test_personal_folders_are_recognised(path: str) -> None:
    assert PERSONAL_PATH.search(path)
    assert not PERSONAL_PATH.search("bundle_root/a https://example.org/homework data/home_page C: x")


@pytest.fixture(scope="module")
def zoo(packaged: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The zoo's repository with our pull request in it, large files downloaded as its checks do."""
    root = tmp_path_factory.mktemp("model-zoo")
    shutil.copytree(packaged / NAME, root / "models" / NAME)
    download_large_files(bundle_path=str(root / "models" / NAME))
    return root


@pytest.fixture
def in_zoo(zoo: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """Relative path of the bundle from the zoo's root, where its checks run."""
    monkeypatch.chdir(zoo)
    return f"models/{NAME}"


def run_as_the_zoo_does(bundle: str, workflow: str, config: str, **override: object) -> None:
    runner = ConfigWorkflow(
        workflow_type=workflow,
        config_file=f"{bundle}/configs/{config}",
        logging_file=f"{bundle}/configs/logging.conf",
        meta_file=f"{bundle}/configs/metadata.json",
        bundle_root=bundle,
        **override,
    )
    runner.initialize()
    assert runner.check_properties() == []
    runner.run()
    runner.finalize()


TRAINING = {"spatial_size": [32, 32, 32], "max_epochs": 1, "val_interval": 1, "num_workers": 1}


@pytest.mark.slow
def test_a_training_and_the_evaluation_of_its_weights_run_in_the_zoo(in_zoo: str, noise: Path, tmp_path: Path) -> None:
    trained, evaluated = tmp_path / "trained", tmp_path / "evaluated"
    run_as_the_zoo_does(
        in_zoo, "train", "train.json", dataset_dir=str(noise), output_dir=str(trained), **TRAINING
    )  # fmt: skip
    assert json.loads((trained / "tre.json").read_text())["cases"][0]["landmarks"] == 10
    run_as_the_zoo_does(
        in_zoo, "infer", "evaluate.json",
        dataset_dir=str(noise), output_dir=str(evaluated), weights=str(trained / "model.pt"), refine="none",
    )  # fmt: skip
    assert json.loads((evaluated / "tre.json").read_text())["cases"][0]["landmarks"] == 10


@pytest.mark.slow
def test_inference_runs_in_the_zoo(in_zoo: str, noise: Path, tmp_path: Path) -> None:
    scans = {key: str(noise / f"test0_{key}.nii.gz") for key in ("fixed", "moving")}
    run_as_the_zoo_does(
        in_zoo, "infer", "inference.json", output_dir=str(tmp_path), spatial_size=[32, 32, 32], refine="none", **scans
    )
    assert sitk.ReadImage(tmp_path / "warped.nii.gz").GetSize() == sitk.ReadImage(scans["fixed"]).GetSize()


@pytest.mark.slow
def test_two_gloo_processes_train_in_the_zoo(in_zoo: str, noise: Path, tmp_path: Path) -> None:
    """The zoo exports the overridden configs as one file beside them and runs the default id."""
    parser = ConfigParser()
    parser.read_config([f"{in_zoo}/configs/train.json", f"{in_zoo}/configs/multi_gpu_train.json"])
    parser.update({"bundle_root": in_zoo, "dataset_dir": str(noise), "output_dir": str(tmp_path)} | TRAINING)
    exported = f"{in_zoo}/configs/train_override.json"
    ConfigParser.export_config_file(parser.config, exported, indent=4)
    done = subprocess.run(
        [
            sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node=2",
            "-m", "monai.bundle", "run",
            "--config_file", exported, "--logging_file", f"{in_zoo}/configs/logging.conf",
            "--meta_file", f"{in_zoo}/configs/metadata.json",
        ],
        capture_output=True, text=True, timeout=600,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-4000:]
    assert done.stdout.count("Target registration error") + done.stderr.count("Target registration error") == 1
    assert (tmp_path / "model.pt").exists()


@pytest.mark.slow
def test_the_zoo_exports_the_network_to_torchscript(in_zoo: str, tmp_path: Path) -> None:
    ckpt_export(
        net_id="network_def",
        filepath=str(tmp_path / "verify_model.ts"),
        ckpt_file=f"{in_zoo}/models/model.pt",
        meta_file=f"{in_zoo}/configs/metadata.json",
        config_file=f"{in_zoo}/configs/inference.json",
        bundle_root=in_zoo,
    )
    torch.jit.load(tmp_path / "verify_model.ts")
    torch.jit.load(f"{in_zoo}/models/model.ts")


@pytest.mark.slow
@pytest.mark.skipif(not SCHEMA.exists(), reason="MONAI's metadata schema is absent: verify_metadata would download it")
def test_the_zoo_verifies_the_metadata(in_zoo: str, tmp_path: Path) -> None:
    verify_metadata(meta_file=f"{in_zoo}/configs/metadata.json", filepath=shutil.copy(SCHEMA, tmp_path / "schema.json"))
