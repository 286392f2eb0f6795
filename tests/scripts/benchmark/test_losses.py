import csv
from pathlib import Path

import pytest

from scripts.benchmark.losses import benchmark_losses


@pytest.mark.slow
def test_ours_is_no_slower_and_takes_no_more_memory_than_monai(tmp_path: Path) -> None:
    benchmark_losses(str(tmp_path / "losses.csv"), sides=(96,), repeats=5)
    with (tmp_path / "losses.csv").open() as file:
        ours, monai = csv.DictReader(file)
    # The fastest of several runs: whatever else the machine does only slows a run down.
    assert float(ours["fastest_s"]) <= float(monai["fastest_s"])
    assert float(ours["peak_memory_mib"]) <= float(monai["peak_memory_mib"])
