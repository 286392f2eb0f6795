"""A chest and breaths for the tests of the motion simulation."""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache

import numpy as np
from monai.data import MetaTensor

from bundle.synthetic.breath import MotionParameters, draw_motion
from tests.chest import Chest, lungs_of, render
from tests.grids import make_affine

SHAPE, SPACING_MM = (50, 40, 52), (4.0, 4.0, 3.5)
ANGLES_DEG = (3.0, -2.0, 5.0)


@lru_cache
def chest(*, oblique: bool = False, flip: tuple[int, int, int] = (1, 1, 1)) -> tuple[MetaTensor, MetaTensor]:
    """Scan and lung mask; the lungs end at z = -80 mm, ellipsoids 160 mm high."""
    affine = make_affine(SHAPE, SPACING_MM, angles_deg=ANGLES_DEG if oblique else (0.0, 0.0, 0.0), flip=flip)
    scan = render(Chest(), SHAPE, affine)
    return scan, lungs_of(Chest(), scan)


def small_breath(seed: int = 0, **changes: object) -> MotionParameters:
    """A draw whose scans are coarse, with some parameters set by hand."""
    parameters = draw_motion(np.random.RandomState(seed), diaphragm_mm=(14.0, 18.0), swap_prob=0.0).damped(0.6)
    inhale = replace(parameters.inhale, in_plane_mm=4.0, slice_mm=4.5, margin_low_mm=(16.0,) * 3)
    exhale = replace(parameters.exhale, in_plane_mm=4.4, slice_mm=4.0, margin_low_mm=(16.0,) * 3)
    return replace(parameters, inhale=inhale, exhale=exhale, **changes)  # type: ignore[arg-type]
