"""Hugging Face: the files that a model repository has besides those of the bundle."""

from __future__ import annotations

import csv
import json
import re
from collections import defaultdict
from pathlib import Path
from statistics import fmean

README_NAME = "USAGE.md"  # of the bundle's README.md, which gives its name to the model card
METHOD = "rrn_optimized"  # of the CSV: default settings
DATA_SETS = {
    "followup_pair": "Follow-up pair, real scans of one patient",
    "phantoms": "Breathing thorax phantoms, held out",
    "simulated": "Simulated motion of a held-out scan",
}  # by their name in the CSV
TAGS = ("medical", "monai", "image-registration", "lung", "ct")
LINK = re.compile(r"(\]\()(?![a-z]+:|#|/)([^)#\s]+)")


def model_card(bundle: Path, name: str) -> str:
    """README.md of the repository: metadata in YAML, then the text of docs/README.md with links from the root.

    Args:
        bundle: root of the bundle, with docs/README.md and docs/benchmarks/registration.csv.
        name: of the model.
    """
    text = (bundle / "docs" / "README.md").read_text(encoding="utf-8")
    return _metadata(bundle / "docs" / "benchmarks" / "registration.csv", name) + LINK.sub(_from_root, text)


def _from_root(link: re.Match[str]) -> str:
    opening, path = link.groups()
    path = path.removeprefix("../") if path.startswith("../") else f"docs/{path}"
    return opening + (README_NAME if path == "README.md" else path)


def _metadata(results: Path, name: str) -> str:
    """The YAML block. No `pipeline_tag`: Hugging Face lists no task for registration."""
    lines = ["---", "license: apache-2.0", "library_name: monai", "tags:", *(f"- {tag}" for tag in TAGS)]
    lines += ["model-index:", f"- name: {name}", "  results:"]
    for data_set, tre_mm in _mean_tre_mm(results).items():
        task = {"type": "image-registration", "name": "Deformable registration"}
        data = {"type": data_set, "name": DATA_SETS[data_set]}
        metric = {"type": "tre_mm", "name": "Mean target registration error, mm", "value": round(tre_mm, 2)}
        lines += [f"  - task: {json.dumps(task)}"]
        lines += [f"    dataset: {json.dumps(data)}", f"    metrics: [{json.dumps(metric)}]"]
    return "\n".join([*lines, "---", "", ""])


def _mean_tre_mm(results: Path) -> dict[str, float]:
    """Mean over the cases of each data set, mm."""
    errors_mm = defaultdict(list)
    with results.open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            if row["method"] == METHOD:
                errors_mm[row["data"]].append(float(row["tre_mean_mm"]))
    return {data_set: fmean(values) for data_set, values in errors_mm.items()}
