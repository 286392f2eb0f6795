from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from bundle.formats.nrrd import check_nrrd, nrrd_unit_mm
from bundle.io import check_header, read_image
from tests.broken.text_headers import NRRD, nrrd_text

VOXELS = np.arange(720, dtype="<i2").tobytes()


@pytest.mark.parametrize(("unit", "factor"), [("mm", 1.0), ("um", 1e-3), ("cm", 10.0)])
def test_the_unit_of_the_header_is_honoured(tmp_path: Path, unit: str, factor: float) -> None:
    fields = {**NRRD, "space directions": "(7,0,0) (0,11,0) (0,0,2.5)", "space origin": "(10,20,30)"}
    fields["space units"] = " ".join([f'"{unit}"'] * 3)
    (tmp_path / "scan.nrrd").write_bytes(nrrd_text(fields) + VOXELS)
    expected = torch.diag(torch.tensor([-7, -11, 2.5, 1 / factor], dtype=torch.float64) * factor)
    expected[:3, 3] = torch.tensor([-10.0, -20.0, 30.0]) * factor
    assert check_nrrd(tmp_path / "scan.nrrd").spacing_mm == pytest.approx([7 * factor, 11 * factor, 2.5 * factor])
    for found in (check_header(tmp_path / "scan.nrrd").affine, read_image(tmp_path / "scan.nrrd").affine):
        torch.testing.assert_close(found.double(), expected)


@pytest.mark.parametrize("units", ['"furlong" "furlong" "furlong"', '"mm" "um" "mm"'])
def test_unknown_and_mixed_units_are_refused(units: str) -> None:
    with pytest.raises(ValueError, match=r"scan\.nrrd: expected (lengths in|one unit for all axes)"):
        nrrd_unit_mm(Path("scan.nrrd"), {"space units": units})


def test_no_unit_is_mm() -> None:
    assert nrrd_unit_mm(Path("scan.nrrd"), {}) == 1.0
    assert nrrd_unit_mm(Path("scan.nrrd"), {"space units": '"" "" ""'}) == 1.0


def test_a_vector_axis_is_no_fourth_dimension(tmp_path: Path) -> None:
    fields = {**NRRD, "dimension": "4", "sizes": "3 8 9 10", "kinds": "vector domain domain domain"}
    fields["space directions"] = f"none {NRRD['space directions']}"
    (tmp_path / "field.nrrd").write_bytes(nrrd_text(fields) + 3 * VOXELS)
    assert check_nrrd(tmp_path / "field.nrrd", 3).shape == (8, 9, 10)
    with pytest.raises(ValueError, match=r"field\.nrrd: expected one value per voxel, got 3 \(RGB or vectors\)"):
        check_nrrd(tmp_path / "field.nrrd")


def test_spacings_without_directions(tmp_path: Path) -> None:
    fields = {key: value for key, value in NRRD.items() if not key.startswith("space")}
    (tmp_path / "scan.nrrd").write_bytes(nrrd_text({**fields, "spacings": "0.7 1.1 2.5"}) + VOXELS)
    header = check_nrrd(tmp_path / "scan.nrrd")
    assert header.spacing_mm == pytest.approx((0.7, 1.1, 2.5))
    assert not header.has_position
