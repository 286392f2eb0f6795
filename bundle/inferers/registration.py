"""Apply the network to a pair of scans, and optimise its answer on the pair."""

from __future__ import annotations

import math
import time
from typing import Any, Literal, get_args

import torch
import torch.nn.functional as F
from monai.data import MetaTensor
from monai.inferers import Inferer
from torch import Tensor, nn

from bundle.geometry import resize_ddf, spacing_mm
from bundle.inferers.instance_optimization import InstanceOptimization
from bundle.inferers.network_fine_tuning import NetworkFineTuning
from bundle.memory import return_freed_memory
from bundle.transforms.network_grid import SIDE_MULTIPLE

Refine = Literal["none", "field", "network"]
HALF_UP = (
    0.5 + 1e-6
)  # rounds halves up, in spite of rounding errors of the affine: the finer of two equally close grids
MIRROR_SIGNS = [-1.0, 1.0, 1.0]  # of a vector's components when the first axis is mirrored


class RegistrationInferer(Inferer):
    """Predict the ddf (B, 3, H, W, D), float32, of a pair on the network grid.

    Hosts call inferers in three ways: MONAI's engines pass both scans as one tensor and the mask beside it; MONAI Label
    passes one tensor only, whose third channel is then the mask; MONAI Deploy passes one tensor for each input of
    `metadata.json`. All pass a MetaTensor, whose affine gives the voxel size of the grid.

    Args:
        refine: instance optimisation: "field" optimises the network's ddf, "network" a copy of the network, "none"
            neither.
        mirror: average the network's ddf with its ddf of the pair mirrored along the first axis, as nnU-Net averages
            segmentations; doubles the network's time. Left out where the ddf is only the start of an instance
            optimisation, which ends as well without it (docs/method.md).
        network_spacing_mm: voxel size of the network's input; None for the grid's own.
        instance_optimization, network_fine_tuning: the method that `refine` names is required.
        amp: mixed precision for the network, with bfloat16 on a CPU, see `has_mixed_precision`.

    `seconds_by_step` holds the wall time of each step of the latest call.

    Raises: ValueError for an unknown `refine`, or one without its method.
    """

    def __init__(
        self,
        *,
        refine: Refine = "none",
        mirror: bool = False,
        network_spacing_mm: float | None = None,
        instance_optimization: InstanceOptimization | None = None,
        network_fine_tuning: NetworkFineTuning | None = None,
        amp: bool = False,
    ) -> None:
        super().__init__()
        if refine not in get_args(Refine):
            raise ValueError(f"refine: expected one of {get_args(Refine)}, got {refine!r}")
        self.seconds_by_step: dict[str, float] = {}
        self.mirror = mirror
        self.amp = amp
        self.network_spacing_mm = network_spacing_mm
        self.instance_optimization = instance_optimization if refine == "field" else None
        self.network_fine_tuning = network_fine_tuning if refine == "network" else None
        if refine != "none" and self.instance_optimization is None and self.network_fine_tuning is None:
            raise ValueError(f"refine: {refine!r} needs its method, got none")

    def __call__(
        self,
        inputs: Tensor,
        network: nn.Module,
        moving: Tensor | None = None,
        mask: Tensor | None = None,
        *args: Any,
        **kwargs: Any,
    ) -> Tensor:
        """Run the network, and the instance optimisation in float32 in any case.

        Args:
            inputs: (B, 2, H, W, D), fixed and moving in [0, 1]; with the mask (B, 3, H, W, D); or fixed alone
                (B, 1, H, W, D).
            network: maps (B, 2, H, W, D) to the ddf.
            moving: (B, 1, H, W, D), with `inputs` of one channel.
            mask: (B, 1, H, W, D), where the instance optimisation compares the scans; the whole image if None.
        Raises: ValueError if the voxel size is needed and `inputs` has no affine.
        """
        image = _plain(inputs if moving is None else torch.cat([_plain(inputs), _plain(moving)], dim=1))
        region = None if mask is None else _plain(mask)
        if image.shape[1] == 3:
            image, region = image[:, :2], image[:, 2:]
        sides = _network_sides(inputs, self.network_spacing_mm)
        self.seconds_by_step = {}
        started_s = time.perf_counter()
        seen, seen_region = _averaged(image, sides), None if region is None else _averaged(region, sides)
        if self.network_fine_tuning is not None:
            with torch.autocast(image.device.type, enabled=False):
                network = self.network_fine_tuning(network, seen, seen_region)
            started_s = self._time("NetworkFineTuning", started_s)
        with torch.autocast(image.device.type, enabled=self.amp):
            ddf_vox: Tensor = network(seen, *args, **kwargs).float()
            if self.mirror and self.instance_optimization is None:
                mirrored = network(seen.flip(2), *args, **kwargs).float().flip(2)
                ddf_vox = (ddf_vox + mirrored * ddf_vox.new_tensor(MIRROR_SIGNS).view(1, 3, 1, 1, 1)) / 2
        if seen is not image:
            ddf_vox = resize_ddf(ddf_vox, list(image.shape[2:]))
        started_s = self._time("Network", started_s)
        if self.instance_optimization is not None:
            with torch.autocast(image.device.type, enabled=False):
                ddf_vox = self.instance_optimization(ddf_vox, image, _spacing_mm(inputs), region)
            self._time("InstanceOptimization", started_s)
        return ddf_vox

    def _time(self, step: str, started_s: float) -> float:
        """Note the time of a step that ends now, and return its memory; returns the start of the next one."""
        return_freed_memory()
        now_s = time.perf_counter()
        self.seconds_by_step[step] = now_s - started_s
        return now_s


def has_mixed_precision(device: torch.device | str) -> bool:
    """Whether a device multiplies numbers of 16 bits faster than float32: GPUs, and CPUs with AVX512-BF16 or AMX."""
    if torch.device(device).type != "cpu":
        return True
    return torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()


def _network_sides(inputs: Tensor, network_spacing_mm: float | None) -> list[int]:
    """Sides of the network's input, multiples of 16: the same box in voxels of about `network_spacing_mm`."""
    if network_spacing_mm is None:
        return list(inputs.shape[2:])
    return [
        SIDE_MULTIPLE * max(math.floor(side * size / (SIDE_MULTIPLE * network_spacing_mm) + HALF_UP), 1)
        for side, size in zip(inputs.shape[2:], _spacing_mm(inputs), strict=True)
    ]


def _averaged(volume: Tensor, sides: list[int]) -> Tensor:
    """A volume (B, C, H, W, D) on a grid of `sides` voxels that spans the same box."""
    return volume if list(volume.shape[2:]) == sides else F.interpolate(volume, size=sides, mode="area")


def _spacing_mm(inputs: Tensor) -> list[float]:
    """Voxel size (3) of a batch, whose pairs share one."""
    if not isinstance(inputs, MetaTensor):
        raise ValueError("inputs: expected a MetaTensor, whose affine gives the voxel size, got a plain tensor")
    size: list[float] = spacing_mm(torch.as_tensor(inputs.affine).double().view(-1, 4, 4)[0]).tolist()
    return size


def _plain(volume: Tensor) -> Tensor:
    """Every operation on a MetaTensor copies its metadata: slower than the convolutions."""
    return volume.as_tensor() if isinstance(volume, MetaTensor) else volume
