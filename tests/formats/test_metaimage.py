from __future__ import annotations

from pathlib import Path

import itk
import numpy as np
import pytest
import torch

from bundle.formats.metaimage import check_metaimage
from bundle.io import check_header, read_image
from tests.broken.text_headers import META, meta_text

VOXELS = np.arange(720, dtype="<i2").tobytes()


@pytest.mark.parametrize(("unit", "factor"), [("mm", 1.0), ("um", 1e-3), ("cm", 10.0), ("?", 1.0)])
def test_the_unit_of_the_header_is_honoured(tmp_path: Path, unit: str, factor: float) -> None:
    fields = {"DistanceUnits": unit, **META, "ElementSpacing": "7 11 2.5", "Offset": "10 20 30"}
    (tmp_path / "scan.mha").write_bytes(meta_text(fields) + VOXELS)
    expected = torch.diag(torch.tensor([-7, -11, 2.5, 1 / factor], dtype=torch.float64) * factor)
    expected[:3, 3] = torch.tensor([-10.0, -20.0, 30.0]) * factor
    assert check_metaimage(tmp_path / "scan.mha").spacing_mm == pytest.approx([7 * factor, 11 * factor, 2.5 * factor])
    for found in (check_header(tmp_path / "scan.mha").affine, read_image(tmp_path / "scan.mha").affine):
        torch.testing.assert_close(found.double(), expected)


def test_an_unknown_unit_is_refused(tmp_path: Path) -> None:
    (tmp_path / "scan.mha").write_bytes(meta_text({"DistanceUnits": "furlong", **META}) + VOXELS)
    with pytest.raises(ValueError, match=r"scan\.mha: expected lengths in .* got the unit 'furlong'"):
        check_metaimage(tmp_path / "scan.mha")


def test_former_names_of_fields_are_understood(tmp_path: Path) -> None:
    fields = {"Rotation" if key == "TransformMatrix" else key: value for key, value in META.items()}
    (tmp_path / "scan.mha").write_bytes(meta_text({**fields, "ElementDataFile": "LOCAL"}) + VOXELS)
    assert check_metaimage(tmp_path / "scan.mha").has_position
    bare = {key: META[key] for key in ("NDims", "DimSize", "ElementType", "ElementDataFile")}
    (tmp_path / "scan.mha").write_bytes(meta_text(bare) + VOXELS)
    assert not check_metaimage(tmp_path / "scan.mha").has_position


def test_a_damaged_stream_is_refused_although_metaio_reads_it(tmp_path: Path) -> None:
    voxels = np.random.default_rng(0).integers(-1000, 500, (20, 22, 24)).astype(np.int16)
    path = tmp_path / "scan.mha"
    itk.imwrite(itk.image_from_array(voxels), str(path), compression=True)
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 0xFF
    path.write_bytes(content)
    assert itk.array_from_image(itk.imread(str(path))).shape == voxels.shape
    with pytest.raises(ValueError, match=r"scan\.mha: truncated or damaged: expected 21120 bytes"):
        check_metaimage(path)
