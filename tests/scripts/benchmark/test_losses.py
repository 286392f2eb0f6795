import csv
from pathlib import Path

import pytest

from scripts.benchmark.losses import benchmark_losses

RECORD = Path(__file__).parents[3] / "docs" / "benchmarks" / "losses.csv"


def test_in_the_record_ours_is_faster_than_monai_and_takes_less_memory_at_every_size() -> None:
    with RECORD.open() as file:
        rows = list(csv.DictReader(file))
    pairs = list(zip(rows[::2], rows[1::2], strict=True))
    assert [ours["side_vox"] for ours, _ in pairs] == ["64", "96", "128"]
    for ours, monai in pairs:
        assert ("ours" in ours["loss"], "MONAI" in monai["loss"]) == (True, True)
        assert ours["side_vox"] == monai["side_vox"]
        assert float(ours["slowest_s"]) < float(monai["slowest_s"])
        assert float(ours["time_s"]) < float(monai["time_s"])
        assert float(ours["peak_memory_mib"]) < float(monai["peak_memory_mib"])


@pytest.mark.slow
def test_ours_takes_no_more_memory_than_monai(tmp_path: Path) -> None:
    """Times are compared in the record only: other work on the machine changes them."""
    benchmark_losses(str(tmp_path / "losses.csv"), sides=(96,), repeats=2)
    with (tmp_path / "losses.csv").open() as file:
        ours, monai = csv.DictReader(file)
    assert float(ours["peak_memory_mib"]) <= float(monai["peak_memory_mib"])
    assert 0 < float(ours["fastest_s"]) <= float(ours["time_s"]) <= float(ours["slowest_s"])
