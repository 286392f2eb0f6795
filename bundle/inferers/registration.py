"""Apply the network to a pair of scans, and optimise its answer on the pair."""

from __future__ import annotations

import time
from typing import Any, Literal, get_args

import torch
from monai.data import MetaTensor
from monai.inferers import Inferer
from torch import Tensor, nn

from bundle.geometry import spacing_mm
from bundle.inferers.instance_optimization import InstanceOptimization
from bundle.inferers.network_fine_tuning import NetworkFineTuning
from bundle.inferers.network_passes import NetworkPasses, resized
from bundle.memory import return_freed_memory

Refine = Literal["none", "field", "network"]


class RegistrationInferer(Inferer):
    """Predict the ddf (B, 3, H, W, D), float32, of a pair on the network grid.

    Hosts call inferers in three ways: MONAI's engines pass both scans as one tensor and the mask beside it; MONAI Label
    passes one tensor only, whose third channel is then the mask; MONAI Deploy passes one tensor for each input of
    `metadata.json`. All pass a MetaTensor, whose affine gives the voxel size of the grid.

    Args:
        refine: instance optimisation: "field" optimises the network's ddf, "network" a copy of the network, "none"
            neither.
        num_passes, antisymmetric, network_spacing_mm: of the network, see `NetworkPasses`. The instance optimisation of
            the field starts from one pass in one direction, from which it ends as well (docs/method.md).
        instance_optimization, network_fine_tuning: the method that `refine` names is required.
        amp: mixed precision for the network and its fine-tuning, with bfloat16 on a CPU, see `has_mixed_precision`.

    `seconds_by_step` holds the wall time of each step of the latest call.

    Raises: ValueError for an unknown `refine`, or one without its method.
    """

    def __init__(
        self,
        *,
        refine: Refine = "none",
        num_passes: int = 1,
        antisymmetric: bool = False,
        network_spacing_mm: float | None = None,
        instance_optimization: InstanceOptimization | None = None,
        network_fine_tuning: NetworkFineTuning | None = None,
        amp: bool = False,
    ) -> None:
        super().__init__()
        if refine not in get_args(Refine):
            raise ValueError(f"refine: expected one of {get_args(Refine)}, got {refine!r}")
        self.seconds_by_step: dict[str, float] = {}
        self.instance_optimization = instance_optimization if refine == "field" else None
        self.network_fine_tuning = network_fine_tuning if refine == "network" else None
        if refine != "none" and self.instance_optimization is None and self.network_fine_tuning is None:
            raise ValueError(f"refine: {refine!r} needs its method, got none")
        self.passes = NetworkPasses(
            num_passes=num_passes if refine != "field" else 1,
            antisymmetric=antisymmetric and refine != "field",
            network_spacing_mm=network_spacing_mm,
            amp=amp,
        )

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
            mask: (B, 1, H, W, D), where passes and instance optimisation compare the scans; the whole image if None.
        Raises: ValueError if the voxel size is needed and `inputs` has no affine.
        """
        image = _plain(inputs if moving is None else torch.cat([_plain(inputs), _plain(moving)], dim=1))
        region = None if mask is None else _plain(mask)
        if image.shape[1] == 3:
            image, region = image[:, :2], image[:, 2:]
        voxel_mm = None if self.passes.network_spacing_mm is None else _spacing_mm(inputs)
        self.seconds_by_step = {}
        started_s = time.perf_counter()
        if self.network_fine_tuning is not None:
            sides = self.passes.sides(image, voxel_mm, 0)
            seen, seen_region = resized(image, sides), None if region is None else resized(region, sides)
            with torch.autocast(image.device.type, enabled=self.passes.amp):
                network = self.network_fine_tuning(network, seen, seen_region)
            started_s = self._time("NetworkFineTuning", started_s)

        def predict(seen: Tensor) -> Tensor:
            return network(seen, *args, **kwargs)

        regions = [None] * len(image) if region is None else region.split(1)
        pairs = zip(image.split(1), regions, strict=True)
        ddf_vox = torch.cat([self.passes(predict, pair, voxel_mm, inside) for pair, inside in pairs])
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


def _spacing_mm(inputs: Tensor) -> list[float]:
    """Voxel size (3) of a batch, whose pairs share one."""
    if not isinstance(inputs, MetaTensor):
        raise ValueError("inputs: expected a MetaTensor, whose affine gives the voxel size, got a plain tensor")
    size: list[float] = spacing_mm(torch.as_tensor(inputs.affine).double().view(-1, 4, 4)[0]).tolist()
    return size


def _plain(volume: Tensor) -> Tensor:
    """Every operation on a MetaTensor copies its metadata: slower than the convolutions."""
    return volume.as_tensor() if isinstance(volume, MetaTensor) else volume
