"""Read broken inputs, in a process of its own: `python -m tests.broken.read CASES RESULTS FIRST`.

Each case adds one line to RESULTS before it is read and one after, so that a crash or a hang names its case.
"""

from __future__ import annotations

import json
import logging
import os
import resource
import sys
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from ignite.engine import Engine

from bundle.data import check_pairs, read_pairs
from bundle.handlers import WeightsLoader
from bundle.io import (
    ImageHeader,
    fit_mask,
    read_displacement,
    read_image,
    read_landmarks_mm,
    read_linear_transform,
    read_mask,
    read_recipe,
    read_transform,
)
from bundle.io.dirlab import find_cases
from bundle.networks import RRN

MEMORY_BYTES = 1 << 30
SCAN = ImageHeader("scan.nii.gz", (60, 70, 80), torch.eye(4, dtype=torch.float64))
NETWORK = RRN()


def read_weights(path: str) -> None:
    WeightsLoader(path=path, network=NETWORK, map_location="cpu")(Engine(lambda *_: None))


def read_dirlab(path: str) -> None:
    for case in find_cases(Path(path).parent):
        if case.files:
            case.read_volume_hu("fixed")


READERS: dict[str, Callable[[str], Any]] = {
    "image": read_image,
    "mask": lambda path: fit_mask(read_mask(path), read_image("valid.nii")),
    "landmarks": lambda path: read_landmarks_mm(path, SCAN),
    "pairs": lambda path: check_pairs(read_pairs(path, section="training")),
    "recipe": lambda path: read_recipe(Path(path).with_suffix(".pt")).build_network(),
    "weights": read_weights,
    "transform": read_linear_transform,
    "any transform": read_transform,
    "displacement": read_displacement,
    "dirlab": read_dirlab,
}


def main(cases: Path, results: Path, first: int) -> None:
    warnings.simplefilter("ignore")
    logging.disable(logging.CRITICAL)
    os.chdir(cases.parent)
    READERS["image"](str(cases.parent / "valid.nii"))  # loads the libraries
    READERS["transform"](str(cases.parent / "valid.tfm"))
    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + MEMORY_BYTES, used + MEMORY_BYTES))
    with results.open("a") as file:
        for case in json.loads(cases.read_text())[first:]:
            print(json.dumps({"name": case["name"]}), file=file, flush=True)
            started_s, error = time.perf_counter(), ""
            try:
                READERS[case["reader"]](case["path"])
            except BaseException as raised:
                is_expected = isinstance(raised, (ValueError, FileNotFoundError))
                error = str(raised) if is_expected else f"{type(raised).__name__}: {raised}"
                kind = "refused" if is_expected else "wrong error"
            else:
                kind = "read"
            seconds = time.perf_counter() - started_s
            print(json.dumps({"kind": kind, "error": error, "seconds": seconds}), file=file, flush=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3]))
