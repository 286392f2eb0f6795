from __future__ import annotations

import json
from pathlib import Path

import pytest

from scripts import make_phantoms


def test_cases_are_written_with_their_pairs_file(tmp_path: Path) -> None:
    make_phantoms.make_phantoms(
        str(tmp_path), num_training=1, num_validation=0, num_test=1, seed=1, spacing_mm=(12.0, 11.0, 10.0)
    )
    pairs = json.loads((tmp_path / "pairs.json").read_text())
    assert [len(pairs[section]) for section in ("training", "validation", "test")] == [1, 0, 1]


def test_a_phantom_is_drawn_into_a_new_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(make_phantoms, "PICTURE_SPACING_MM", (10.0, 10.0, 10.0))
    make_phantoms.draw(str(tmp_path / "new" / "phantom.png"), seed=2)
    assert (tmp_path / "new" / "phantom.png").stat().st_size > 10_000
