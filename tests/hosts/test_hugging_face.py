from __future__ import annotations

import csv
import re
import shutil
import statistics
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from bundle.hosts.hugging_face import DATA_SETS, METHOD, model_card
from scripts.package import NAME

ROOT = Path(__file__).parents[2]
REPOSITORY = "owner/lung_ct_registration"


def test_the_card_begins_with_the_metadata_that_hugging_face_reads() -> None:
    _, block, text = model_card(ROOT, NAME).split("---\n", 2)
    metadata = yaml.safe_load(block)
    assert metadata["license"] == "apache-2.0"
    assert metadata["library_name"] == "monai"
    assert metadata["tags"] == ["medical", "monai", "image-registration", "lung", "ct"]
    assert text.lstrip().startswith("# Model card")


def test_the_results_in_the_metadata_are_the_means_of_the_measured_cases() -> None:
    with (ROOT / "docs" / "benchmarks" / "registration.csv").open() as file:
        rows = [row for row in csv.DictReader(file) if row["method"] == METHOD]
    (model,) = yaml.safe_load(model_card(ROOT, NAME).split("---\n")[1])["model-index"]
    assert model["name"] == NAME
    found = {result["dataset"]["type"]: result["metrics"][0]["value"] for result in model["results"]}
    assert found.keys() == DATA_SETS.keys()
    for data_set, tre_mm in found.items():
        errors_mm = [float(row["tre_mean_mm"]) for row in rows if row["data"] == data_set]
        assert tre_mm == pytest.approx(statistics.mean(errors_mm), abs=0.005)


def test_links_of_the_card_start_at_the_root(tmp_path: Path) -> None:
    (tmp_path / "docs" / "benchmarks").mkdir(parents=True)
    shutil.copy(ROOT / "docs" / "benchmarks" / "registration.csv", tmp_path / "docs" / "benchmarks")
    text = "![a](pictures/a.png) [b](method.md#part) [c](../README.md) [d](../LICENSE) [e](https://a.org/b) [f](#part)"
    (tmp_path / "docs" / "README.md").write_text(text)
    assert model_card(tmp_path, NAME).splitlines()[-1] == (
        "![a](docs/pictures/a.png) [b](docs/method.md#part) [c](USAGE.md) [d](LICENSE) [e](https://a.org/b) [f](#part)"
    )


@pytest.mark.slow
def test_the_repository_is_the_bundle_with_its_large_files_and_a_card(packaged: Path) -> None:
    def files(folder: Path) -> dict[str, bytes]:
        return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}

    bundle, repository = files(packaged / NAME), files(packaged / "huggingface")
    large = {f"models/{name}": content for name, content in files(packaged / "large_files").items()}
    del bundle["large_files.yml"]
    bundle["USAGE.md"] = bundle.pop("README.md")
    card = repository.pop("README.md").decode()
    assert repository == bundle | large
    assert repository.keys() >= {"LICENSE", "models/model.pt", "models/model.ts", "models/model.json"}
    for link in re.findall(r"\]\((?!https?:|#)([^)#\s]+)", card):
        assert link in repository


LOAD = """
import sys
from monai.bundle import load
bundle_dir, name, repo, workflow, torchscript = sys.argv[1:]
sys.path.append(f"{bundle_dir}/{name}")
arguments = {"workflow_type": workflow, "load_ts_module": torchscript == "TorchScript"}
network = load(name=name, bundle_dir=bundle_dir, source="huggingface_hub", repo=repo, **arguments)
network = network[0] if torchscript == "TorchScript" else network
print(sum(value.numel() for value in network.parameters()))
"""


@pytest.mark.slow
@pytest.mark.parametrize(
    ("workflow", "form"), [("train", "weights"), ("inference", "weights"), ("inference", "TorchScript")]
)
def test_monai_loads_the_repository_from_where_it_downloads_it(
    packaged: Path, tmp_path: Path, workflow: str, form: str
) -> None:
    """`load` skips the download if the folder has the weights; `snapshot_download` makes a plain copy of the files."""
    shutil.copytree(packaged / "huggingface", tmp_path / "bundles" / NAME)
    command = [sys.executable, "-c", LOAD, str(tmp_path / "bundles"), NAME, REPOSITORY, workflow, form]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=300)
    assert done.stdout.split()[-1:] == ["16652076"], done.stderr[-2000:]
