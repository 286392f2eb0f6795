"""A phantom whose motion is known, as result folders of both directions."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
import torch
from torch import Tensor

from bundle.data import PairFiles
from bundle.io import write_image
from bundle.synthetic.phantom import PhantomCase, make_phantom
from tests.result_folders import write_result

SPACING_MM = 2.5  # of the field


class Phantom(NamedTuple):
    """A phantom and its result folders.

    Args:
        case: the phantom; fixed is inhale.
        inhale_fixed, exhale_fixed: result folders of the registration and of the reverse one.
    """

    case: PhantomCase
    inhale_fixed: Path
    exhale_fixed: Path

    def jacobian_at(self, points_mm: np.ndarray) -> np.ndarray:
        """Exact gradient (3, 3, n) of the motion at points (n, 3) within the lungs, each by the motion of its lung."""
        tube, step_mm = self.case.transform.tube_of(*points_mm.T), 1e-3
        columns = []
        for axis in np.eye(3) * step_mm:
            ahead, behind = (self._move(points_mm + sign * axis, tube) for sign in (1, -1))
            columns.append((ahead - behind) / (2 * step_mm))
        return np.stack(columns, axis=1)

    def _move(self, points_mm: np.ndarray, tube: np.ndarray) -> np.ndarray:
        moved = np.zeros((3, len(points_mm)))
        for number, motion in enumerate(self.case.transform.motions):
            moved[:, tube == number] = np.stack(motion.forward(*points_mm[tube == number].T))
        return np.stack(self.case.transform.rigid(*moved))


@pytest.fixture(scope="session")
def phantom(tmp_path_factory: pytest.TempPathFactory) -> Phantom:
    case = make_phantom(
        3,
        body_scale=0.5,
        spacing_mm=(2.0, 2.0, 2.5),
        shift_mm=5.0,
        diaphragm_mm=(8.0, 15.0),
        mean_mm=(0.0, 100.0),
    )
    folder = tmp_path_factory.mktemp("phantom")
    for key in ("fixed", "moving"):
        affine = torch.from_numpy(getattr(case, f"{key}_affine"))
        write_image(folder / f"{key}.nii.gz", getattr(case, key), affine, dtype=np.int16)
        write_image(folder / f"{key}_mask.nii.gz", getattr(case, f"{key}_mask"), affine, dtype=np.uint8)

    files = {key: folder / f"{key}.nii.gz" for key in ("fixed", "moving", "fixed_mask", "moving_mask")}
    forward = write_result(folder / "forward", PairFiles(**files), partial(motion_of, case), spacing_mm=SPACING_MM)
    turned = {"fixed": "moving", "moving": "fixed", "fixed_mask": "moving_mask", "moving_mask": "fixed_mask"}
    swapped = PairFiles(**{key: files[other] for key, other in turned.items()})
    backward = write_result(folder / "backward", swapped, partial(_inverse, case), spacing_mm=SPACING_MM)
    return Phantom(case, forward, backward)


def motion_of(case: PhantomCase, points_mm: Tensor) -> Tensor:
    """Points (n, 3) of the fixed world in the moving world."""
    return torch.from_numpy(np.stack(case.transform.forward(*points_mm.double().numpy().T), axis=1))


def _inverse(case: PhantomCase, points_mm: Tensor) -> Tensor:
    """Points (n, 3) of the moving world in the fixed world, exact in the lungs' tubes."""
    points = np.stack(case.transform.rigid_inverse(*points_mm.double().numpy().T))
    result = np.stack(case.transform.outside_inverse(*points))
    for motion in case.transform.motions:
        a, b = motion.exhale.to_chart(*points)
        within = a * a + b * b < 1.0
        a, b, z, _ = motion.inverse(*points[:, within])
        result[:, within] = np.stack([*motion.inhale.from_chart(a, b, z), z])
    return torch.from_numpy(result.T)
