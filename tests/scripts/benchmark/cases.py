"""Results of a made-up benchmark."""

from __future__ import annotations

import numpy as np

from scripts.benchmark.result import BenchmarkResult

LABELS = {"none": "no registration", "good": "a good method", "poor": "a poor method"}


def make_result(
    method: str = "good",
    *,
    data: str = "phantoms",
    case: str = "test_00",
    tre_mm: list[float] | None = None,
    initial_mm: list[float] | None = None,
    time_s: float = 12.5,
) -> BenchmarkResult:
    """A result with errors of 1, 2, 3, 4 mm unless given."""
    tre_mm = [1.0, 2.0, 3.0, 4.0] if tre_mm is None else tre_mm
    return BenchmarkResult(
        data=data,
        case=case,
        method=method,
        initial_mm=[10.0 + error for error in tre_mm] if initial_mm is None else initial_mm,
        tre_mm=tre_mm,
        folding_percent=0.25,
        sd_log_jacobian=0.125,
        time_s=time_s,
        peak_memory_mib=1024.0,
        machine="2 CPU cores",
        settings="0123456789abcdef",
    )


def many_results() -> list[BenchmarkResult]:
    """Two data sets, three methods: no registration, one with small errors, one whose errors are half the motion."""
    rng = np.random.default_rng(0)
    results = []
    for data, case in (("phantoms", "test_00"), ("phantoms", "test_01"), ("scan", "pair")):
        initial = rng.uniform(2, 40, 200)
        errors = {"none": initial, "good": rng.gamma(2.0, 0.5, 200), "poor": initial / 2}
        results += [
            make_result(method, data=data, case=case, tre_mm=values.tolist(), initial_mm=initial.tolist())
            for method, values in errors.items()
        ]
    return results
