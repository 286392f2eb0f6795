import csv
from pathlib import Path

import pytest
import torch
from monai.data import MetaTensor

from scripts.benchmark.resources.cost import Row, measure_costs, resample_to, write_costs
from tests.grids import make_affine


def test_a_linear_image_keeps_its_values_in_the_world_when_it_is_resampled() -> None:
    affine = make_affine((10, 12, 14), (2.0, 1.0, 1.5), angles_deg=(10, -20, 30)).double()
    index = torch.stack(torch.meshgrid(*map(torch.arange, (10, 12, 14)), indexing="ij"), dim=-1).double()
    slope = torch.tensor([1.0, -2.0, 3.0]).double()
    values = (index @ affine[:3, :3].T + affine[:3, 3]) @ slope
    found = resample_to(MetaTensor(values[None].float(), affine=affine), 8 * 10 * 12 * 14)
    assert found.shape == (1, 20, 24, 28)
    index = torch.stack(torch.meshgrid(*map(torch.arange, (20, 24, 28)), indexing="ij"), dim=-1).double()
    expected = (index @ found.affine[:3, :3].T + found.affine[:3, 3]) @ slope
    inner = (slice(2, -2),) * 3
    torch.testing.assert_close(found.as_tensor()[0][inner].double(), expected[inner], atol=1e-3, rtol=1e-5)


def test_table_and_picture_hold_every_row(tmp_path: Path) -> None:
    write_costs(tmp_path, [Row("RRN", "inference", 64**3, 0.5, 700.0), Row("RRN", "inference", 96**3, 1.5, 900.0)])
    with (tmp_path / "cost.csv").open() as file:
        assert [row["voxels"] for row in csv.DictReader(file)] == ["262144", "884736"]
    assert "| RRN | inference | 0.26 | 0.50 | 700 |" in (tmp_path / "cost.md").read_text()
    assert (tmp_path / "cost.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.slow
def test_both_networks_are_measured_in_processes_of_their_own(tmp_path: Path) -> None:
    rows = measure_costs(tmp_path, sides=(32,), steps=1, scans=None, million_voxels=())
    assert {(row.what, row.kind) for row in rows} == {
        (network, kind) for network in ("RRN", "VoxelMorph") for kind in ("inference", "training step")
    }
    assert all(row.time_s > 0 and row.peak_memory_mib > 100 for row in rows)
