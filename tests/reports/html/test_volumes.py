from __future__ import annotations

import base64
import gzip
from typing import Any

import nibabel as nib
import numpy as np
import pytest
import torch
from monai.data import MetaTensor

from bundle.reports.html import volumes as module
from bundle.reports.html.volumes import ReportVolumes, report_volumes
from tests.grids import make_affine, rotation
from tests.reports.html.registered import SPACING_MM, make_registered

STEP_HU = 1200 / 255


def decoded(volumes: ReportVolumes, name: str) -> tuple[np.ndarray, np.ndarray]:
    """Values and affine of a volume, by nibabel; maps are NaN where they are hidden."""
    volume = volumes.volumes[name]
    nifti: Any = nib.Nifti1Image.from_bytes(gzip.decompress(base64.b64decode(volume.as_base64(volumes.affine))))
    values = nifti.get_fdata()
    if volume.first:
        values[np.asarray(nifti.dataobj.get_unscaled()) == module.HIDDEN] = np.nan
    return values, nifti.affine


def test_scans_are_shown_in_hu_in_their_place() -> None:
    pair = make_registered((0.0, 0.0, 2.0))
    volumes = report_volumes(pair)
    for name, key in (("fixed", "fixed"), ("before", "moving"), ("warped", "warped")):
        values, affine = decoded(volumes, name)
        assert np.allclose(affine, pair["grid_to_fixed"])
        np.testing.assert_allclose(values, pair[key][0].numpy().clip(-1000, 200), atol=STEP_HU / 2 + 1e-3)


def test_maps_of_a_translation_are_its_length_and_no_change_of_volume() -> None:
    pair = make_registered((1.0, 0.0, 2.0))
    volumes = report_volumes(pair)
    inside = pair["mask_net"][0].numpy() > 0.5
    for name, expected in (
        ("displacement", np.hypot(1 * SPACING_MM[0], 2 * SPACING_MM[2])),
        ("jacobian", 1.0),
        ("inverse_consistency", 0.0),
    ):
        values, _ = decoded(volumes, name)
        assert np.isnan(values[~inside]).all()
        volume = volumes.volumes[name]
        np.testing.assert_allclose(values[inside], expected, atol=(volume.high - volume.low) / 254 / 2 + 1e-3)


def test_an_error_of_the_inverse_is_shown_in_mm() -> None:
    pair = make_registered()
    pair["inverse_ddf"][1] += 0.3  # voxels of 2.5 mm
    values, _ = decoded(report_volumes(pair), "inverse_consistency")
    assert np.nanmedian(values) == pytest.approx(0.75, abs=0.01)


def test_the_jacobian_is_that_of_the_whole_transform() -> None:
    scaled = torch.diag(torch.tensor([1.1, 1.2, 1.0, 1.0], dtype=torch.float64))
    values, _ = decoded(report_volumes(make_registered(initial_affine=scaled)), "jacobian")
    assert np.nanmedian(values) == pytest.approx(1.1 * 1.2, abs=0.005)


def test_large_grids_are_shown_in_larger_voxels_of_the_same_box(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_VOXELS", 10_000)
    pair = make_registered((0.0, 0.0, 0.0))
    ramp = torch.arange(44.0).view(-1, 1, 1).expand(44, 40, 48) * 20 - 900
    pair["fixed"] = MetaTensor(ramp[None].clone(), affine=pair["fixed"].affine)
    values, affine = decoded(report_volumes(pair), "fixed")
    assert 8_000 < values.size <= 10_000
    full = pair["grid_to_fixed"].numpy()
    for corner in (0, 1):
        own = affine @ [*(corner * np.array(values.shape) - 0.5), 1.0]
        np.testing.assert_allclose(own, full @ [*(corner * np.array([44, 40, 48]) - 0.5), 1.0], atol=1e-3)
    x = (np.linalg.inv(full) @ affine @ [3, 4, 5, 1])[0]
    assert values[3, 4, 5] == pytest.approx(20 * x - 900, abs=STEP_HU / 2 + 0.1)


def test_oblique_scans_of_other_voxels_are_brought_to_the_grid() -> None:
    pair = make_registered((0.0, 0.0, 0.0))
    shape = (70, 64, 50)
    affine = rotation(5, -8, 12) @ make_affine(shape, (1.6, 1.9, 3.2), flip=(-1, 1, 1))
    grid = torch.stack(torch.meshgrid(*(torch.arange(float(side)) for side in shape), indexing="ij"), dim=-1).double()
    world = grid @ affine[:3, :3].T + affine[:3, 3]
    pair["fixed"] = MetaTensor((3 * world[..., 2] - 2 * world[..., 0] - 400)[None].float(), affine=affine)
    values, shown = decoded(report_volumes(pair), "fixed")
    middle = np.array([20, 18, 22])
    x, _, z = (shown @ [*middle, 1.0])[:3]
    assert values[tuple(middle)] == pytest.approx(3 * z - 2 * x - 400, abs=STEP_HU)


def test_without_lungs_there_are_volumes_and_empty_maps() -> None:
    pair = make_registered()
    pair["mask_net"] = torch.zeros_like(pair["mask_net"])
    volumes = report_volumes(pair)
    assert np.isnan(decoded(volumes, "displacement")[0]).all()
    assert volumes.centre == (22, 20, 24)


def test_maps_end_where_the_scan_ends() -> None:
    pair = make_registered()
    pair["fixed"] = pair["fixed"][:, :, :, :20]  # the lungs are cut off at slice 20
    values, _ = decoded(report_volumes(pair), "displacement")
    inside = pair["mask_net"][0].numpy() > 0.5
    assert inside[:, :, 20:].any()
    assert np.isnan(values[:, :, 20:]).all()
    assert not np.isnan(values[:, :, :20][inside[:, :, :20]]).any()
