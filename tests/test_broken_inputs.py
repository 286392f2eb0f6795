"""Every broken input ends in the documented error, soon, within 1 GB, without a crash."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.broken.case import Broken, Collection
from tests.broken.masks import add_masks
from tests.broken.nifti import add_nifti, valid
from tests.broken.objects import add_objects
from tests.broken.tables import add_tables
from tests.broken.text_headers import add_text_headers
from tests.broken.transforms import AFFINE, IDENTITY, TFM, add_transforms

ROOT = Path(__file__).parents[1]
LIMIT_S = 10.0  # of one input, on a busy machine
BATCH_LIMIT_S = 240.0


def read_all(collection: Collection) -> list[dict[str, Any]]:
    """What became of each case; a crash or a hang ends one process, and the next one goes on behind it."""
    cases, results = collection.save(), collection.folder / "results.jsonl"
    results.touch()
    found: list[dict[str, Any]] = []
    while len(found) < len(collection.cases):
        command = [sys.executable, "-m", "tests.broken.read", str(cases), str(results), str(len(found))]
        results.write_text("")
        try:
            done = subprocess.run(command, cwd=ROOT, capture_output=True, timeout=BATCH_LIMIT_S)
            ended = f"crashed with {done.returncode}: {done.stderr.decode(errors='replace')[-300:]}"
        except subprocess.TimeoutExpired:
            ended = "hung"
        lines = [json.loads(line) for line in results.read_text().splitlines()]
        found += [line for line in lines if "kind" in line]
        if len(found) < len(collection.cases):
            assert lines or ended == "hung", ended
            found.append({"kind": ended, "error": "", "seconds": 0.0})
    return found


def complaint(case: Broken, result: dict[str, Any]) -> str | None:
    """What is wrong with the outcome of a case."""
    if result["kind"] != "refused":
        return f"{case.name}: {result['kind']} {result['error'][:200]}"
    if case.mentions not in result["error"]:
        return f"{case.name}: names no {case.mentions!r}: {result['error'][:200]}"
    if result["seconds"] > LIMIT_S:
        return f"{case.name}: took {result['seconds']:.1f} s"
    return None


@pytest.fixture(scope="module")
def collection(tmp_path_factory: pytest.TempPathFactory) -> Collection:
    broken = Collection(tmp_path_factory.mktemp("broken"))
    (broken.folder / "valid.nii").write_bytes(valid())
    (broken.folder / "valid.tfm").write_text(TFM.format(kind=AFFINE, parameters=IDENTITY))
    for add in (add_nifti, add_text_headers, add_masks, add_tables, add_objects, add_transforms):
        add(broken)
    return broken


def test_every_broken_input_is_refused_with_the_name_of_its_file(collection: Collection) -> None:
    assert len(collection.cases) >= 200
    before = set(collection.folder.rglob("*"))
    results = read_all(collection)
    complaints = [complaint(*pair) for pair in zip(collection.cases, results, strict=True)]
    assert not [text for text in complaints if text], "\n".join(text for text in complaints if text)
    left = set(collection.folder.rglob("*")) - before
    assert {path.name for path in left} <= {"cases.json", "results.jsonl"}, "partial output"
