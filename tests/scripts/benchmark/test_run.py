from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from bundle.metrics import compute_tre_mm
from scripts.benchmark.__main__ import benchmark, report
from scripts.benchmark.result import BenchmarkResult
from tests.conftest import SyntheticPair


@pytest.fixture
def pairs_file(synthetic_pair: Callable[..., SyntheticPair], tmp_path: Path) -> Path:
    folder = tmp_path / "chests"
    folder.mkdir()
    (folder / "pairs.json").write_text(json.dumps({"test": [synthetic_pair().item]}))
    return folder / "pairs.json"


def test_no_registration_leaves_the_landmarks_where_they_are(
    pairs_file: Path, tmp_path: Path, synthetic_pair: Callable[..., SyntheticPair]
) -> None:
    benchmark(str(pairs_file), str(tmp_path / "out"), methods="none")
    result = BenchmarkResult.read(tmp_path / "out" / "chests" / "chest" / "none.json")
    pair = synthetic_pair()
    assert result.tre_mm == pytest.approx(compute_tre_mm(pair.fixed_mm, pair.moving_mm).tolist(), abs=1e-4)
    assert result.initial_mm == pytest.approx(result.tre_mm)
    assert (result.folding_percent, result.sd_log_jacobian) == (0, 0)
    written = {path.name for path in (tmp_path / "out").rglob("*.*")}
    pictures = {"tre_distribution.png", "tre_by_displacement.png", "overlays.png"}
    assert written == {"none.json", "benchmark.md", "benchmark.csv"} | pictures


def test_a_failed_method_is_an_error_at_the_end_and_the_others_are_reported(pairs_file: Path, tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match=r"1 runs failed:\nchest, ants: .*log\.txt"):
        benchmark(str(pairs_file), str(tmp_path / "out"), methods="ants,none", tools_python="false")
    table = (tmp_path / "out" / "benchmark.md").read_text()
    assert "no registration" in table
    assert "ANTs" not in table


def test_a_pair_without_landmarks_is_refused_before_any_work(pairs_file: Path, tmp_path: Path) -> None:
    content = json.loads(pairs_file.read_text())
    del content["test"][0]["moving_landmarks"]
    pairs_file.write_text(json.dumps(content))
    with pytest.raises(ValueError, match="pair 'chest' needs fixed_landmarks and moving_landmarks"):
        benchmark(str(pairs_file), str(tmp_path / "out"), methods="none")
    assert not (tmp_path / "out").exists()


def test_a_folder_without_results_is_named(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"expected at least one benchmark result .*, found none"):
        report(str(tmp_path))


@pytest.mark.slow
def test_finished_runs_are_kept_until_their_settings_change(pairs_file: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    file = out / "chests" / "chest" / "alignment.json"
    benchmark(str(pairs_file), str(out), methods="none,alignment", threads=1)
    first, written = BenchmarkResult.read(file), file.stat().st_mtime_ns
    assert max(first.tre_mm) < 20 < min(first.initial_mm)
    assert first.time_s > 0.5
    assert first.peak_memory_mib > 100
    benchmark(str(pairs_file), str(out), methods="alignment", threads=1)
    assert file.stat().st_mtime_ns == written
    benchmark(str(pairs_file), str(out), methods="alignment", threads=2)
    assert file.stat().st_mtime_ns != written
