from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor

from bundle.geometry import apply_affine, jacobian_determinant, sample_vox, spacing_mm
from bundle.resample import resample
from bundle.synthetic.breath import SimulateMotiond, simulate_motion
from bundle.synthetic.breath.acquisition import Appearance
from bundle.synthetic.breath.motion import Wave
from tests.grids import voxel_centres_mm
from tests.synthetic.breath.simulated import chest, small_breath

SIDES = ("fixed", "moving")


def simulate(*, swap: bool = False, oblique: bool = True, **changes: object) -> dict[str, Any]:
    return simulate_motion(*chest(oblique=oblique), small_breath(swap=swap, **changes))


def mapped_mm(pair: dict[str, Any]) -> Tensor:
    """T of every fixed voxel, (H * W * D, 3)."""
    field = pair["displacement"]
    return voxel_centres_mm(tuple(field.shape[1:]), field.affine.double()) + field.as_tensor().flatten(1).T


def at_vox(pair: dict[str, Any], side: str, points_mm: Tensor) -> Tensor:
    return apply_affine(torch.linalg.inv(pair[side].affine.double()), points_mm)


@pytest.mark.parametrize("swap", [False, True])
def test_landmarks_correspond_under_the_field(swap: bool) -> None:
    pair = simulate(swap=swap)
    vox = at_vox(pair, "fixed", pair["fixed_landmarks"]).float()
    shift = sample_vox(pair["displacement"].as_tensor()[None], vox.T[None, :, :, None, None])[0, :, :, 0, 0].T
    error = (pair["fixed_landmarks"] + shift - pair["moving_landmarks"]).norm(dim=1)
    assert len(error) >= 30
    assert float(error.max()) < 0.01
    inside = at_vox(pair, "fixed", pair["fixed_landmarks"]).round().long()
    assert bool(pair["fixed_mask"].as_tensor()[0][tuple(inside.T)].all())


def test_swapped_sides_are_the_inverse_of_each_other() -> None:
    there, back = simulate(), simulate(swap=True)
    for first, second in (("fixed", "moving"), ("moving", "fixed")):
        torch.testing.assert_close(there[f"{first}_mask"].as_tensor(), back[f"{second}_mask"].as_tensor())
    chosen = there["fixed_mask"].as_tensor().flatten() > 0
    moved = mapped_mm(there)[chosen]
    vox = at_vox(back, "fixed", moved).float()
    read = sample_vox(back["displacement"].as_tensor()[None], vox.T[None, :, :, None, None])[0, :, :, 0, 0].T
    start = voxel_centres_mm(tuple(there["fixed"].shape[1:]), there["fixed"].affine.double())[chosen]
    error = (moved + read - start).norm(dim=1)
    assert float(error.median()) < 0.1  # read between voxels of 4 mm


@pytest.mark.parametrize("swap", [False, True])
def test_the_field_brings_the_lungs_over_each_other(swap: bool) -> None:
    pair = simulate(swap=swap)
    vox = at_vox(pair, "moving", mapped_mm(pair)).float().T.reshape(3, *pair["fixed"].shape[1:])
    warped = resample(pair["moving_mask"].as_tensor().float(), vox, 0.0) >= 0.5
    truth = pair["fixed_mask"].as_tensor() > 0
    overlap = 2 * (warped & truth).sum() / (warped.sum() + truth.sum())
    before = 2 * (resample_without_field(pair) & truth).sum() / (2 * truth.sum())
    assert float(overlap) > 0.96
    assert float(before) < float(overlap) - 0.03


def resample_without_field(pair: dict[str, Any]) -> Tensor:
    shape = tuple(pair["fixed"].shape[1:])
    vox = at_vox(pair, "moving", voxel_centres_mm(shape, pair["fixed"].affine.double())).float().T.reshape(3, *shape)
    return resample(pair["moving_mask"].as_tensor().float(), vox, 0.0) >= 0.5


def test_the_lungs_shrink_and_do_not_fold() -> None:
    pair = simulate()
    volumes = [float(pair[f"{side}_mask"].sum() * spacing_mm(pair[side].affine).prod()) for side in SIDES]
    assert 0.6 < volumes[1] / volumes[0] < 0.95
    jacobian = jacobian_determinant(pair["displacement"].as_tensor(), pair["fixed"].affine)
    core = -torch.nn.functional.max_pool3d(-pair["fixed_mask"].as_tensor().float(), 5, stride=1, padding=2)[0] > 0
    assert float(jacobian[core].min()) > 0.15


def test_lungs_keep_their_mass() -> None:
    pair = simulate(oblique=False)
    masses = []
    for side in SIDES:
        density = (pair[side].as_tensor() + 1000).clamp(0, 1000) * (pair[f"{side}_mask"].as_tensor() > 0)
        masses.append(float(density.sum() * spacing_mm(pair[side].affine).prod()))
    assert masses[1] / masses[0] == pytest.approx(1.0, abs=0.08)  # vessels are not compressed, borders are partial


def test_a_patient_who_only_lies_elsewhere_moves_rigidly() -> None:
    calm = {"diaphragm_mm": (0.0, 0.0), "contraction": 0.0, "wall_mm": 0.0, "waves": ()}
    pair = simulate(oblique=False, shift_mm=(3.0, -4.0, 5.0), rotation_deg=(0.0, 0.0, 0.0), **calm)
    expected = torch.tensor([3.0, -4.0, 5.0]).view(3, 1, 1, 1).expand_as(pair["displacement"])
    torch.testing.assert_close(pair["displacement"].as_tensor(), expected, atol=1e-3, rtol=0)


def test_a_breath_that_compresses_too_much_is_refused() -> None:
    strong = Wave((0.0, 0.0, 25.0), (0.0, 0.0, 0.1), 0.0)
    with pytest.raises(ValueError, match=r"parameters: expected a Jacobian of at least 0\.2, got 0\.\d+"):
        simulate(waves=(strong,))


def test_the_transform_replays_parameters_read_from_json() -> None:
    scan, mask = chest()
    parameters = replace(small_breath(2), swap=True)
    expected = simulate_motion(scan, mask, parameters)
    stored = json.loads(json.dumps(parameters.to_dict()))
    pair = SimulateMotiond("scan")({"scan": scan, "scan_mask": mask, "motion_parameters": stored})
    for key in ("fixed", "moving", "displacement", "moving_landmarks"):
        torch.testing.assert_close(torch.as_tensor(pair[key]), torch.as_tensor(expected[key]), rtol=0, atol=0)


PLAIN = Appearance(0.0, 0.0, 40.0, 0.0, (0.0, 0.0, 0.0), 0.0, 2.0)
AGENT = Appearance(0.8, 0.3, 300.0, 0.4, (0.0, -0.3, 0.0), 40.0, 3.0)


def seen_as(inhale: Appearance, exhale: Appearance, *, swap: bool = False, **scanner: object) -> dict[str, Any]:
    breath = small_breath(swap=swap)
    sides = {
        name: replace(getattr(breath, name), appearance=one, **scanner)
        for name, one in (("inhale", inhale), ("exhale", exhale))
    }
    return simulate_motion(*chest(oblique=True), replace(breath, **sides))


@pytest.mark.parametrize("swap", [False, True])
def test_how_the_lungs_look_moves_nothing(swap: bool) -> None:
    plain, hard = simulate(swap=swap), seen_as(AGENT, PLAIN, swap=swap)
    for key in ("displacement", "fixed_mask", "moving_mask"):
        assert torch.equal(plain[key].as_tensor(), hard[key].as_tensor()), key
    kept = (plain["fixed_landmarks"][:, None] == hard["fixed_landmarks"][None]).all(dim=2).any(dim=0)
    assert len(kept) >= 30
    assert bool(kept.all())


def test_each_scan_has_the_look_it_was_given() -> None:
    quiet = {"noise_hu": 1e-3, "kernel": 0.0}
    base = seen_as(PLAIN, PLAIN, **quiet)
    changed = seen_as(AGENT, PLAIN, **quiet)
    assert torch.equal(base["moving"].as_tensor(), changed["moving"].as_tensor())
    inside = base["fixed_mask"].as_tensor() > 0
    difference = (changed["fixed"].as_tensor() - base["fixed"].as_tensor())[inside]
    assert float(difference.std()) > 20.0
    assert float(difference.mean()) > 30.0


def test_without_noise_the_field_brings_vessels_of_both_looks_over_each_other() -> None:
    pair = seen_as(replace(AGENT, texture_hu=0.0), PLAIN, noise_hu=1e-3, kernel=0.0)
    shape = tuple(pair["fixed"].shape[1:])
    core = -torch.nn.functional.max_pool3d(-pair["fixed_mask"].as_tensor().float(), 5, stride=1, padding=2) > 0
    moved, unmoved = (
        resample(
            pair["moving"].as_tensor(), at_vox(pair, "moving", points).float().T.reshape(3, *shape), -1000.0
        )[core]
        for points in (mapped_mm(pair), voxel_centres_mm(shape, pair["fixed"].affine.double()))
    )  # fmt: skip
    fixed = pair["fixed"].as_tensor()[core]
    with_field, without = (float(torch.corrcoef(torch.stack([fixed, one]))[0, 1]) for one in (moved, unmoved))
    assert with_field > 0.8
    assert without < with_field - 0.3


def test_landmarks_of_cut_scans_lie_in_the_lungs_of_both() -> None:
    cut = {"margin_low_mm": (16.0, 16.0, -40.0), "empty_slices": 2}
    whole, pair = seen_as(PLAIN, PLAIN), seen_as(PLAIN, PLAIN, **cut)
    assert 0 < len(pair["fixed_landmarks"]) < len(whole["fixed_landmarks"])
    for side in SIDES:
        vox = at_vox(pair, side, pair[f"{side}_landmarks"]).round().long()
        assert bool(pair[f"{side}_mask"].as_tensor()[0][tuple(vox.T)].all())
        assert bool((pair[side].as_tensor()[..., -2:] == -1024).all())
