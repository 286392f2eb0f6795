"""The notebook of the documents, run from top to bottom."""

from __future__ import annotations

import re
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

DOCS = Path(__file__).parents[1] / "docs"


@pytest.mark.slow
def test_the_tutorial_runs_and_registers_its_phantom() -> None:
    notebook = nbformat.read(DOCS / "tutorial.ipynb", as_version=4)
    nbformat.validate(notebook)
    assert not any(cell.get("outputs") for cell in notebook.cells), "clear the outputs before you commit"
    done = NotebookClient(notebook, timeout=600, resources={"metadata": {"path": str(DOCS)}}).execute()
    printed = "".join(
        output.get("text", "")
        for cell in done.cells
        for output in cell.get("outputs", [])
        if output.get("name") == "stdout"
    )
    scores = {key: float(value) for key, value in re.findall(r"^(\w+_mm) +([\d.]+)$", printed, re.MULTILINE)}
    assert scores["tre_none_mm"] > 10
    assert scores["tre_mm"] < 1.0 < scores["tre_aligned_mm"]
    assert float(re.search(r"TRE ([\d.]+) mm, 95 %", printed)[1]) == pytest.approx(scores["tre_mm"], abs=0.01)
