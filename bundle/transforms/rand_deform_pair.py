"""Random additional motion of a pair on the network grid, with its ground-truth field."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from monai.config import KeysCollection
from monai.transforms import MapTransform, RandomizableTransform
from torch import Tensor

from bundle.geometry import identity_vox, warp

WAVE_CONTROL_POINTS = 5  # along each side: the shortest wavelength is half the crop
MIRROR_PROBABILITY = 0.5


def deform_pair(volumes: Sequence[Tensor], ground_truth: Tensor, ddf_vox: Tensor) -> tuple[list[Tensor], Tensor]:
    """Warp the volumes of the fixed grid with an additional ddf, and compose the ground-truth field with it.

    Args:
        volumes: the fixed scan and its mask, (C, H, W, D).
        ground_truth: (4, H, W, D), see `GroundTruthFieldd`.
        ddf_vox: v (3, H, W, D); volumes are read at p + v(p), and the ground-truth ddf u becomes v(p) + u(p + v(p)).
    """
    *warped, ground_truth = (warp(volume[None], ddf_vox[None])[0] for volume in (*volumes, ground_truth))
    return warped, torch.cat([ground_truth[:3] + ddf_vox * ground_truth[3:], ground_truth[3:]])


def mirror_pair(volumes: Sequence[Tensor], ground_truth: Tensor, axis: int) -> tuple[list[Tensor], Tensor]:
    """Mirror both scans, the mask and the ground-truth field (4, H, W, D) along a spatial axis."""
    signs = torch.ones(4, 1, 1, 1)
    signs[axis] = -1.0
    return [volume.flip(axis + 1) for volume in volumes], ground_truth.flip(axis + 1) * signs


class RandDeformPaird(RandomizableTransform, MapTransform):
    """Deform the fixed scan of a crop randomly and smoothly, then mirror the crop randomly along each axis.

    It turns breaths of few patients into motion in all directions. Random twin of `deform_pair` and `mirror_pair`.

    Args:
        keys: of the fixed grid: the fixed scan and its mask. Results are plain tensors.
        moving_key, ground_truth_key: the moving scan and the ground-truth field.
        shift_vox, linear, wave_vox: largest translation along an axis; largest relative change of length or shear;
            largest displacement of the random waves along an axis.
    """

    def __init__(
        self,
        keys: KeysCollection,
        *,
        moving_key: str = "moving_net",
        ground_truth_key: str = "ground_truth_net",
        shift_vox: float,
        linear: float,
        wave_vox: float,
    ) -> None:
        MapTransform.__init__(self, keys)
        RandomizableTransform.__init__(self, prob=1.0)
        self.moving_key = moving_key
        self.ground_truth_key = ground_truth_key
        self.shift_vox = shift_vox
        self.linear = linear
        self.wave_vox = wave_vox

    def randomize(self, data: Tensor) -> None:
        """Draw `ddf_vox` (3, H, W, D) and `mirrored` for a crop (C, H, W, D)."""
        super().randomize(None)
        strength = self.R.uniform()  # uniform: the size of the motion that remains after alignment varies
        shift = strength * self.R.uniform(-self.shift_vox, self.shift_vox, 3)
        linear = strength * self.R.uniform(-self.linear, self.linear, (3, 3))
        control_points = strength * self.R.uniform(-self.wave_vox, self.wave_vox, (1, 3, *[WAVE_CONTROL_POINTS] * 3))
        self.mirrored = [axis for axis in range(3) if self.R.uniform() < MIRROR_PROBABILITY]
        sides = list(data.shape[1:])
        centred = identity_vox(sides, torch.empty(0))[0] - (torch.tensor(sides) - 1).view(3, 1, 1, 1) / 2
        waves = F.interpolate(_tensor(control_points), size=sides, mode="trilinear", align_corners=True)[0]
        self.ddf_vox = waves + torch.einsum("ab,bhwd->ahwd", _tensor(linear), centred) + _tensor(shift).view(3, 1, 1, 1)

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        pair = dict(data)
        on_fixed = list(self.key_iterator(pair))
        volumes = [torch.as_tensor(pair[key]) for key in on_fixed]
        self.randomize(volumes[0])
        volumes, ground_truth = deform_pair(volumes, torch.as_tensor(pair[self.ground_truth_key]), self.ddf_vox)
        volumes.append(torch.as_tensor(pair[self.moving_key]))
        for axis in self.mirrored:
            volumes, ground_truth = mirror_pair(volumes, ground_truth, axis)
        pair.update(zip([*on_fixed, self.moving_key], volumes, strict=True))
        pair[self.ground_truth_key] = ground_truth
        return pair


def _tensor(values: np.ndarray) -> Tensor:
    return torch.from_numpy(values.astype(np.float32))
