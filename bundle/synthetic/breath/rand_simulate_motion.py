"""Simulate random breaths of a CT: randomised version of `SimulateMotiond`."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from dataclasses import replace
from typing import Any

from monai.config import KeysCollection
from monai.data import MetaTensor
from monai.transforms import MapTransform, RandomizableTransform

from bundle.geometry import apply_affine
from bundle.synthetic.breath.breathing import LEAST_JACOBIAN, breathe
from bundle.synthetic.breath.motion import DIAPHRAGM_MM, draw_motion, draw_position
from bundle.synthetic.breath.patient import at_points, position_of, to_ras
from bundle.synthetic.breath.scan import lung_points_mm
from bundle.synthetic.breath.simulate_motion import simulate_motion

MEAN_MM = (12.0, 31.0)  # as in DIR-Lab COPD
DAMPING = 0.85  # factor per try for breaths that compress too much
DAMPING_TRIES = 16
POSITION_TRIES = 100
NUM_POINTS = 2000  # minimum number of lung points for the mean displacement


class RandSimulateMotiond(RandomizableTransform, MapTransform):
    """Draw and simulate a breath: adds the outputs of `SimulateMotiond` and `motion_parameters`, which reproduce them.

    Breaths that compress tissue too much are damped; the patient's position is redrawn until the mean displacement of
    the lungs is within `mean_mm`.

    Args:
        keys: the scan, one key; `<key>_mask` is its lung mask.
        diaphragm_mm: see `draw_motion`.
        mean_mm: range of the lungs' mean displacement.
        clinical: scans of the size that clinics make, see `MotionParameters.clinical`.
        hard: scans of other scanners and days, see `MotionParameters.hard`.
    Raises: ValueError if no position gives such a mean; see also `simulate_motion`.
    """

    def __init__(
        self,
        keys: KeysCollection,
        *,
        diaphragm_mm: tuple[float, float] = DIAPHRAGM_MM,
        mean_mm: tuple[float, float] = MEAN_MM,
        clinical: bool = False,
        hard: bool = False,
    ) -> None:
        MapTransform.__init__(self, keys)
        RandomizableTransform.__init__(self, prob=1.0)
        self.diaphragm_mm = diaphragm_mm
        self.mean_mm = mean_mm
        self.clinical = clinical
        self.hard = hard

    def randomize(self, data: MetaTensor) -> None:
        """Draw `parameters` for a lung mask (1, H, W, D) in RAS order, and build their `breathing`."""
        super().randomize(None)
        drawn = draw_motion(self.R, diaphragm_mm=self.diaphragm_mm)
        drawn = drawn.hard() if self.hard else drawn
        self.parameters = drawn.clinical() if self.clinical else drawn
        for _ in range(DAMPING_TRIES):
            self.breathing = breathe(data, self.parameters)
            if self.breathing.least_jacobian >= LEAST_JACOBIAN:
                break
            self.parameters = self.parameters.damped(DAMPING)
        lungs_mm = lung_points_mm(data)
        centre_mm = lungs_mm.double().mean(dim=0)
        some_mm = lungs_mm[:: max(1, len(lungs_mm) // NUM_POINTS)]
        exhaled_mm = at_points(self.breathing.tubes.exhale, some_mm).double()
        for _ in range(POSITION_TRIES):
            moved_mm = apply_affine(position_of(self.parameters, centre_mm), exhaled_mm)
            mean_mm = float((moved_mm - some_mm).norm(dim=1).mean())
            if self.mean_mm[0] <= mean_mm <= self.mean_mm[1]:
                return
            shift_mm, rotation_deg = draw_position(self.R)
            self.parameters = replace(self.parameters, shift_mm=shift_mm, rotation_deg=rotation_deg)
        raise ValueError(f"mean_mm: no position gives a mean displacement within {self.mean_mm}, last {mean_mm:.1f} mm")

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        sample = dict(data)
        for key in self.key_iterator(sample):
            scan, mask = to_ras(sample[key], sample[f"{key}_mask"])
            self.randomize(mask)
            sample.update(simulate_motion(scan, mask, self.parameters, breathing=self.breathing))
            sample["motion_parameters"] = self.parameters.to_dict()
        return sample
