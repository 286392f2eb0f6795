"""Give a pair on the network grid a further motion, whose field stays known."""

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

WAVE_CONTROLS = 5  # along each side: waves as long as half the crop
MIRROR_PROBABILITY = 0.5


def deform_pair(volumes: Sequence[Tensor], known: Tensor, ddf_vox: Tensor) -> tuple[list[Tensor], Tensor]:
    """Read what lives on the fixed grid through a further ddf, and the known field with it.

    Args:
        volumes: the fixed scan and its mask, (C, H, W, D).
        known: (4, H, W, D), see `GroundTruthFieldd`.
        ddf_vox: v (3, H, W, D); p sees what p + v(p) saw, and the known ddf u becomes v(p) + u(p + v(p)).
    """
    *moved, known = (warp(volume[None], ddf_vox[None])[0] for volume in (*volumes, known))
    return moved, torch.cat([known[:3] + ddf_vox * known[3:], known[3:]])


def mirror_pair(volumes: Sequence[Tensor], known: Tensor, axis: int) -> tuple[list[Tensor], Tensor]:
    """Mirror both scans, the mask and the known field (4, H, W, D) along a spatial axis."""
    signs = torch.ones(4, 1, 1, 1)
    signs[axis] = -1.0
    return [volume.flip(axis + 1) for volume in volumes], known.flip(axis + 1) * signs


class RandDeformPaird(RandomizableTransform, MapTransform):
    """Deform the fixed side of a crop smoothly, then mirror the crop along each axis or not.

    Breaths from few patients become motion of every direction. Random twin of `deform_pair` and `mirror_pair`.

    Args:
        keys: what lives on the fixed grid, the fixed scan and its mask; plain tensors come out.
        moving_key, ground_truth_key: the other scan, and the known field.
        shift_vox, linear, wave_vox: largest translation along an axis; change of length or shear; and displacement of
            the random waves along an axis.
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
        strength = self.R.uniform()  # small motion is as frequent as large: what an alignment leaves is unknown
        shift = strength * self.R.uniform(-self.shift_vox, self.shift_vox, 3)
        linear = strength * self.R.uniform(-self.linear, self.linear, (3, 3))
        controls = strength * self.R.uniform(-self.wave_vox, self.wave_vox, (1, 3, *[WAVE_CONTROLS] * 3))
        self.mirrored = [axis for axis in range(3) if self.R.uniform() < MIRROR_PROBABILITY]
        sides = list(data.shape[1:])
        centred = identity_vox(sides, torch.empty(0))[0] - (torch.tensor(sides) - 1).view(3, 1, 1, 1) / 2
        waves = F.interpolate(_tensor(controls), size=sides, mode="trilinear", align_corners=True)[0]
        self.ddf_vox = waves + torch.einsum("ab,bhwd->ahwd", _tensor(linear), centred) + _tensor(shift).view(3, 1, 1, 1)

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        pair = dict(data)
        on_fixed = list(self.key_iterator(pair))
        volumes = [torch.as_tensor(pair[key]) for key in on_fixed]
        self.randomize(volumes[0])
        volumes, known = deform_pair(volumes, torch.as_tensor(pair[self.ground_truth_key]), self.ddf_vox)
        volumes.append(torch.as_tensor(pair[self.moving_key]))
        for axis in self.mirrored:
            volumes, known = mirror_pair(volumes, known, axis)
        pair.update(zip([*on_fixed, self.moving_key], volumes, strict=True))
        pair[self.ground_truth_key] = known
        return pair


def _tensor(values: np.ndarray) -> Tensor:
    return torch.from_numpy(values.astype(np.float32))
