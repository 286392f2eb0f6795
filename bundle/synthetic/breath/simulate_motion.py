"""Simulate a pair with a ground-truth field from one CT at inhale."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import Any

import numpy as np
import torch
from monai.config import KeysCollection
from monai.data import MetaTensor
from monai.transforms import MapTransform
from torch import Tensor

from bundle.geometry import apply_affine
from bundle.lung.vessel_landmarks import vessel_landmarks_vox
from bundle.synthetic.breath.appearance import change_scan
from bundle.synthetic.breath.breathing import LEAST_JACOBIAN, Breathing, breathe, patient_affine
from bundle.synthetic.breath.motion import MotionParameters
from bundle.synthetic.breath.patient import BreathingPatient, at_points, position_of, to_ras
from bundle.synthetic.breath.scan import field_of_view, lung_points_mm, reconstruct, without_empty

NUM_LANDMARKS = 300
PLEURA_MM = 7.0  # at least 5 mm after rounding landmarks to voxels


def simulate_motion(
    scan: MetaTensor, mask: MetaTensor, parameters: MotionParameters, *, breathing: Breathing | None = None
) -> dict[str, Any]:
    """Fixed and moving scan of a simulated exhalation with the ground-truth field.

    Args:
        scan, mask: (1, H, W, D), HU at inhale and lung mask, on one grid.
        parameters: breath and acquisitions.
        breathing: `breathe(mask, parameters)` if already computed; the mask must then be in RAS order.
    Returns: `fixed`, `moving` (1, H, W, D) float32 HU, `fixed_mask`, `moving_mask` uint8, `displacement` (3, H, W, D)
        T(x) - x on the fixed grid, RAS mm, all MetaTensors; `fixed_landmarks`, `moving_landmarks` (N, 3) float64, RAS
        mm, at voxel centres of the fixed grid, N at most 300; for scans with an appearance of their own, those that
        lie in the lungs of both.
    Raises: ValueError if the mask is empty or on another grid, or the Jacobian falls below `LEAST_JACOBIAN`.
    """
    scan, mask = to_ras(scan, mask)
    breathing = breathe(mask, parameters) if breathing is None else breathing
    if breathing.least_jacobian < LEAST_JACOBIAN:
        raise ValueError(
            f"parameters: expected a Jacobian of at least {LEAST_JACOBIAN}, got {breathing.least_jacobian:.3f}"
        )
    patient = BreathingPatient(scan, mask, breathing)
    rng = np.random.RandomState(parameters.seed)
    lungs_mm = lung_points_mm(mask)
    position = position_of(parameters, lungs_mm.double().mean(dim=0))
    exhaled_mm = apply_affine(position, at_points(breathing.tubes.exhale, lungs_mm).double())
    inhale_grid = field_of_view(lungs_mm, parameters.inhale, torch.zeros(3), patient.size_mm)
    exhale_grid = field_of_view(exhaled_mm, parameters.exhale, *patient.exhale_limits(lungs_mm, position))
    seen = [_as_seen(patient, scan, mask, parameters, number) for number in (0, 1)]
    inhale, inhale_mask = seen[0].inhale(*inhale_grid)
    exhale, exhale_mask = seen[1].exhale(*exhale_grid, position)
    sides = [
        (reconstruct(inhale, parameters.inhale, rng), without_empty(inhale_mask, parameters.inhale), *inhale_grid),
        (reconstruct(exhale, parameters.exhale, rng), without_empty(exhale_mask, parameters.exhale), *exhale_grid),
    ]
    bright = vessel_landmarks_vox(
        patient.hu,
        mask[0].as_tensor(),
        step_mm=tuple(patient.step_mm.tolist()),
        count=NUM_LANDMARKS,
        pleura_mm=PLEURA_MM,
        seed=parameters.seed,
    )
    bright_mm = (bright * patient.step_mm).float()
    if parameters.swap:
        sides.reverse()
        bright_mm = apply_affine(position, at_points(breathing.tubes.exhale, bright_mm).double())
        moved = patient.exhale_displacement(*exhale_grid, position)
    else:
        moved = patient.inhale_displacement(*inhale_grid, position)
    landmarks = _on_field(bright_mm.double(), moved, sides[0][3])
    if parameters.inhale.appearance or parameters.exhale.appearance:  # cuts reach deeper than `PLEURA_MM`
        kept = torch.stack([_in_lungs(own, side[1], side[3]) for own, side in zip(landmarks, sides, strict=True)])
        landmarks = (landmarks[0][kept.all(dim=0)], landmarks[1][kept.all(dim=0)])
    to_world = patient_affine(scan)
    result: dict[str, Any] = {}
    for name, (hu, lungs, _, affine), own in zip(("fixed", "moving"), sides, landmarks, strict=True):
        result[name] = MetaTensor(hu[None], affine=to_world @ affine)
        result[f"{name}_mask"] = MetaTensor(lungs[None].to(torch.uint8), affine=to_world @ affine)
        result[f"{name}_landmarks"] = apply_affine(to_world, own)
    turned = torch.einsum("ab,bhwd->ahwd", to_world[:3, :3].float(), moved)
    result["displacement"] = MetaTensor(turned, affine=result["fixed"].affine)
    return result


def _as_seen(
    patient: BreathingPatient, scan: MetaTensor, mask: MetaTensor, parameters: MotionParameters, number: int
) -> BreathingPatient:
    """The patient as the inhale (number 0) or exhale scan (1) shows it."""
    appearance = (parameters.inhale, parameters.exhale)[number].appearance
    if appearance is None:
        return patient
    texture = np.random.RandomState([parameters.seed, number])
    return BreathingPatient(change_scan(scan, mask, appearance, texture), mask, patient.breathing)


def _in_lungs(points_mm: Tensor, lungs: Tensor, affine: Tensor) -> Tensor:
    """Whether points (N, 3) lie in the lungs (H, W, D) of a grid, (N,): at the nearest voxel."""
    vox = apply_affine(torch.linalg.inv(affine), points_mm).round().long()
    inside = ((vox >= 0) & (vox < torch.tensor(lungs.shape))).all(dim=1)
    vox = vox.clamp_min(0).minimum(torch.tensor(lungs.shape) - 1)
    return inside & (lungs[vox[:, 0], vox[:, 1], vox[:, 2]] > 0)


def _on_field(points_mm: Tensor, displacement_mm: Tensor, affine: Tensor) -> tuple[Tensor, Tensor]:
    """Landmarks (N, 3) float64, rounded to voxel centres of the fixed grid, and their counterparts in moving.

    Args:
        points_mm: (M, 3), patient frame; points outside the grid and duplicates are removed.
        displacement_mm: (3, H, W, D), patient mm, on the grid of `affine` (4, 4).
    """
    vox = apply_affine(torch.linalg.inv(affine), points_mm).round().long()
    vox = vox[((vox >= 0) & (vox < torch.tensor(displacement_mm.shape[1:]))).all(dim=1)].unique(dim=0)
    fixed_mm = apply_affine(affine, vox.double())
    return fixed_mm, fixed_mm + displacement_mm[:, vox[:, 0], vox[:, 1], vox[:, 2]].T.double()


class SimulateMotiond(MapTransform):
    """Replay a breath: adds the outputs of `simulate_motion` for `<key>`, `<key>_mask` and `motion_parameters`.

    `motion_parameters` is a MotionParameters or its dictionary.

    Args:
        keys: the scan, one key.
    Raises: ValueError, see `simulate_motion`.
    """

    def __init__(self, keys: KeysCollection) -> None:
        super().__init__(keys)

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        sample = dict(data)
        given = sample["motion_parameters"]
        parameters = given if isinstance(given, MotionParameters) else MotionParameters.from_dict(given)
        for key in self.key_iterator(sample):
            sample.update(simulate_motion(sample[key], sample[f"{key}_mask"], parameters))
        return sample
