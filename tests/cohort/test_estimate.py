from __future__ import annotations

import csv
from pathlib import Path

import pytest

from bundle.cohort import estimate as module
from bundle.cohort.estimate import Look, estimate, free_bytes, look_at
from tests.cohort.pairs import write_pairs

MEASURED = Path(__file__).parents[2] / "docs" / "benchmarks" / "scale.csv"


def test_headers_give_voxels_and_say_what_is_wrong(tmp_path: Path) -> None:
    (pair,) = write_pairs(tmp_path, 1)
    good, bad = look_at([pair, pair | {"name": "bad", "moving": str(tmp_path / "gone.nii.gz")}])
    assert (good.name, good.problem) == ("pair_0", "")
    assert good.voxels > 100_000
    assert bad.voxels == 0
    assert "gone.nii.gz: no such file or folder" in bad.problem


def test_the_estimate_is_the_line_through_the_measured_figures_over_all_processors(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "SECONDS", 30.0)
    monkeypatch.setattr(module, "SECONDS_PER_MILLION_VOXELS", 0.5)
    looks = [Look("a", 60_000_000), Look("b", 20_000_000), Look("c", 0, "no such file")]
    found = estimate(looks, workers=4, threads=2)
    assert found.pairs == 2
    assert found.processor_hours == pytest.approx((2 * 30.0 + 80 * 0.5) / 3600)
    assert found.hours == pytest.approx(found.processor_hours / 8)
    assert found.terabytes == pytest.approx((2 * module.BYTES + 80 * module.BYTES_PER_MILLION_VOXELS) / 1e12)


def test_the_lines_go_through_the_measured_figures() -> None:
    with MEASURED.open() as file:
        rows = list(csv.DictReader(file))
    for row in rows:
        found = estimate([Look("a", round(1e6 * float(row["million_voxels"])))], workers=1, threads=1)
        assert 3600 * found.hours == pytest.approx(float(row["cpu_s"]), rel=0.1)
        if row["written_mb"]:
            assert 1e6 * found.terabytes == pytest.approx(float(row["written_mb"]), rel=0.1)
    assert sum(bool(row["written_mb"]) for row in rows) == 3


def test_pairs_that_are_done_replace_the_measured_figures() -> None:
    found = estimate([Look(str(n), 10**7) for n in range(360)], workers=2, threads=1, seconds=[10.0, 30.0])
    assert found.processor_hours == pytest.approx(360 * 20.0 / 3600)
    assert found.hours == pytest.approx(1.0)
    assert str(found).startswith("360 pairs: about 2.0 processor hours, 1.0 hours of wall time, ")


def test_the_disk_of_a_folder_that_does_not_exist_is_that_of_its_parent(tmp_path: Path) -> None:
    assert free_bytes(tmp_path / "a" / "b") == pytest.approx(free_bytes(tmp_path), rel=0.05)
