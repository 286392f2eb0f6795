"""Random crops of a pair on the network grid, with further motion, its exact field, and two acquisitions."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from monai.config import KeysCollection
from monai.data import MetaTensor
from monai.transforms import MapTransform, RandomizableTransform
from scipy import ndimage
from scipy.spatial.transform import Rotation
from torch import Tensor

from bundle.geometry import identity_vox, sample_vox, spacing_mm
from bundle.synthetic.breath.acquisition import Acquisition, draw_hard_acquisition
from bundle.synthetic.breath.scan import SOURCE_BLUR_VOX
from bundle.synthetic.crops.acquire import acquire_crop
from bundle.synthetic.crops.motion import FINE_SIZES_MM, SIZES_MM, UNDO_FRACTIONS, draw_waves_vox, undo_vox

OUTSIDE_WEIGHT = 0.05  # of the loss outside the lungs
TURN_DEG, TURN_PROBABILITY = 10.0, 0.4
WAVES_PROBABILITY = 0.5  # on pairs with a known field; a scan with itself always has them
UNDO_PROBABILITY = 0.5  # half of these undo all of the known motion, half a random share
FINE_WHOLE_PROBABILITY = 0.3  # fine crops undo all of the known motion, or a share of at least this:
FINE_LEAST_SHARE = 0.6
STILL_PROBABILITY = 0.05  # of a scan with itself and no motion at all
AGENT_PROBABILITY = 0.5
CENTRE_TRIES = 1000


class RandCropPaird(RandomizableTransform, MapTransform):
    """Replace a pair on the network grid by a random crop in its lungs, of another voxel size, mirrored and turned.

    The moving side reads the pair at G(p), G the map of the crop's voxels to the grid, and the fixed side at
    G(p + v(p)) with a further motion v: a known field u becomes v(p) + u(p + v(p)), exactly and without an inverse.
    Then each side gets an acquisition of its own (`draw_hard_acquisition`). Some crops hold one scan on both sides,
    so that u = 0; it is smoothed first, so that the sides share little of its noise. A pair without a known field has
    neither v nor acquisitions. Fine crops are what later passes of the network see: small voxels, and the little motion
    that earlier passes leave.

    Args:
        keys: three: the fixed scan, the moving scan, HU, and the mask of the fixed lungs, in [0, 1], (1, H, W, D);
            cubic voxels.
        ground_truth_key: see `GroundTruthFieldd`; becomes (5, S, S, S): the ddf in voxels of the crop, the weight of
            the loss (0 where the field is unknown, or leads out of the crop), and the voxel size in mm.
        sides: of the crops, one is drawn, multiples of 16.
        network_mm: half of the crops that are not fine have voxels within 10 % of this size.
        voxel_mm: range of the voxel size of the others.
        fine_prob: probability of a fine crop.
        fine_mm: range of the voxel size of fine crops.
        single_prob: probability of a crop with one scan on both sides.
        hardness: largest of the acquisitions, each pair draws its own below it.
    Raises: ValueError for another number of keys.
    """

    def __init__(
        self,
        keys: KeysCollection,
        *,
        ground_truth_key: str = "ground_truth_net",
        sides: Sequence[int],
        network_mm: float,
        voxel_mm: tuple[float, float],
        fine_prob: float,
        fine_mm: tuple[float, float],
        single_prob: float,
        hardness: float,
    ) -> None:
        MapTransform.__init__(self, keys)
        RandomizableTransform.__init__(self, prob=1.0)
        if len(self.keys) != 3:
            raise ValueError(f"keys: expected the fixed scan, the moving scan and the mask, got {self.keys}")
        self.ground_truth_key = ground_truth_key
        self.sides = sides
        self.network_mm = network_mm
        self.coarse_mm = voxel_mm
        self.fine_prob = fine_prob
        self.fine_mm = fine_mm
        self.single_prob = single_prob
        self.hardness = hardness

    def randomize(self, data: MetaTensor) -> None:
        """Draw a crop for a mask (1, H, W, D): its grid, further motion and acquisitions."""
        super().randomize(None)
        self.side = int(self.R.choice(self.sides))
        self.is_fine = bool(self.R.uniform() < self.fine_prob)
        self.voxel_mm = self._draw_voxel_mm()
        angles = self.R.uniform(-TURN_DEG, TURN_DEG, 3) * (self.R.uniform() < TURN_PROBABILITY)
        turn = Rotation.from_euler("xyz", angles, degrees=True).as_matrix()
        zoom = self.voxel_mm / float(spacing_mm(data.affine)[0])
        self.to_grid = torch.from_numpy((turn * self.R.choice([-1.0, 1.0], 3) * zoom).astype(np.float32))
        self.centre_vox = self._draw_centre(data[0])
        self.is_single = bool(self.R.uniform() < self.single_prob)
        self.is_still = self.is_single and bool(self.R.uniform() < STILL_PROBABILITY)
        sizes_mm = FINE_SIZES_MM if self.is_fine else SIZES_MM
        self.waves = draw_waves_vox(self.side, self.voxel_mm, sizes_mm, self.R)
        if self.is_still or (not self.is_single and self.R.uniform() >= WAVES_PROBABILITY):
            self.waves = torch.zeros_like(self.waves)
        self.undo_share = self._draw_undo_share()
        self.undo_fraction = int(self.R.choice(UNDO_FRACTIONS))
        hardness = self.hardness * self.R.uniform()
        self.acquisitions = tuple(
            draw_hard_acquisition(self.R, agent=bool(self.R.uniform() < AGENT_PROBABILITY), hardness=hardness)
            for _ in range(2)
        )
        self.seed = int(self.R.randint(2**31 - 1))

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        pair = dict(data)
        self.randomize(pair[self.keys[2]])
        fixed, moving, mask = (torch.as_tensor(pair[key]) for key in self.keys)
        ground_truth = torch.as_tensor(pair[self.ground_truth_key])
        known = None if self.is_single else ground_truth
        volumes, ground_truth = self.crop(fixed, fixed if self.is_single else moving, mask, known)
        if self.is_single:
            volumes[:2] = [_smooth(volume) for volume in volumes[:2]]  # both sides would share its noise
        if bool(ground_truth[3].any()):
            rng = np.random.RandomState(self.seed)
            volumes[:2] = [
                self._acquire(volume, acquisition, rng)
                for volume, acquisition in zip(volumes[:2], self.acquisitions, strict=True)
            ]
        pair.update(zip(self.keys, volumes, strict=True))
        pair[self.ground_truth_key] = ground_truth
        return pair

    def crop(self, fixed: Tensor, moving: Tensor, mask: Tensor, known: Tensor | None) -> tuple[list[Tensor], Tensor]:
        """The drawn crop of all three volumes, (1, S, S, S) each, and its ground truth (5, S, S, S).

        Args:
            fixed, moving, mask: (1, H, W, D) on one grid.
            known: (4, H, W, D), see `GroundTruthFieldd`; None for one scan on both sides.
        """
        sides = [self.side] * 3
        identity = identity_vox(sides, torch.empty(0))[0]
        points = _turn(self.to_grid, identity - (self.side - 1) / 2) + self.centre_vox.view(3, 1, 1, 1)
        from_grid = torch.linalg.inv(self.to_grid)
        motion = self.waves
        if known is not None:
            is_known = bool(known[3].any())
            motion = motion * float(is_known)
            if is_known and self.undo_share > 0:
                here = _turn(from_grid, _read(known[:3], points))
                motion = motion + undo_vox(here, self.undo_share, self.undo_fraction)
        moved = points + _turn(self.to_grid, motion)
        volumes = [_read(fixed, moved), _read(moving, points), _read(mask, moved)]
        last = torch.tensor(mask.shape[1:]).view(3, 1, 1, 1) - 1
        weight = ((moved >= 0) & (moved <= last)).all(dim=0, keepdim=True).float()
        ddf = motion
        if known is not None:
            there = _read(known, moved)
            ddf = motion + _turn(from_grid, there[:3])
            weight = weight * (there[3:] > 0.999)
        target = identity + ddf
        weight = weight * ((target > -1) & (target < self.side)).all(dim=0, keepdim=True)
        weight = weight * (volumes[2] + OUTSIDE_WEIGHT)
        return volumes, torch.cat([ddf, weight, torch.full_like(weight, self.voxel_mm)])

    def _draw_voxel_mm(self) -> float:
        if self.is_fine:
            return float(self.R.uniform(*self.fine_mm))
        if self.R.uniform() < 0.5:
            return float(self.R.uniform(0.9, 1.1) * self.network_mm)
        return float(self.R.uniform(*self.coarse_mm))

    def _draw_undo_share(self) -> float:
        if self.is_fine:
            is_whole = self.R.uniform() < FINE_WHOLE_PROBABILITY
            return 1.0 if is_whole else float(self.R.uniform(FINE_LEAST_SHARE, 1.0))
        share = 1.0 if self.R.uniform() < 0.5 else self.R.uniform()
        return float(share * (self.R.uniform() < UNDO_PROBABILITY))

    def _acquire(self, volume: Tensor, acquisition: Acquisition, rng: np.random.RandomState) -> Tensor:
        return acquire_crop(volume[0], acquisition, self.voxel_mm, rng)[None]

    def _draw_centre(self, mask: Tensor) -> Tensor:
        """A voxel (3,) of the mask (H, W, D), or its middle if none is found."""
        for _ in range(CENTRE_TRIES):  # lungs fill a third of the grid: much faster than a list of their voxels
            vox = tuple(int(self.R.randint(side)) for side in mask.shape)
            if mask[vox] > 0.5:
                return torch.tensor(vox).float()
        return (torch.tensor(mask.shape) - 1) / 2


def _smooth(volume: Tensor) -> Tensor:
    """(1, S, S, S) smoothed with `SOURCE_BLUR_VOX`."""
    return torch.from_numpy(ndimage.gaussian_filter(volume[0].numpy(), SOURCE_BLUR_VOX, truncate=3.0))[None]


def _turn(matrix: Tensor, vectors: Tensor) -> Tensor:
    """Map vectors (3, h, w, d) by a matrix (3, 3)."""
    return torch.einsum("ab,bhwd->ahwd", matrix, vectors)


def _read(volume: Tensor, points_vox: Tensor) -> Tensor:
    """`sample_vox` of (C, H, W, D), any type, at (3, h, w, d), float32; converts only what is read."""
    last = torch.tensor(volume.shape[1:]) - 1
    low = torch.minimum(points_vox.flatten(1).amin(1).floor().long().clamp_min(0), last)
    high = torch.maximum(torch.minimum(points_vox.flatten(1).amax(1).ceil().long(), last), low) + 1
    low = torch.minimum(low, (high - 2).clamp_min(0))  # a grid has two voxels along each axis
    part = volume[:, low[0] : high[0], low[1] : high[1], low[2] : high[2]].float()
    return sample_vox(part[None], (points_vox - low.view(3, 1, 1, 1))[None])[0]
