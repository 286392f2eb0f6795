"""Apply the network to a pair of scans and refine its answer."""

from __future__ import annotations

from typing import Any, Literal, get_args

import torch
import torch.nn.functional as F
from monai.data import MetaTensor
from monai.inferers import Inferer
from torch import Tensor, nn

from bundle.geometry import resize_ddf
from bundle.inferers.instance_optimization import InstanceOptimization
from bundle.inferers.network_fine_tuning import NetworkFineTuning
from bundle.transforms.network_grid import SIDE_MULTIPLE

Refine = Literal["none", "field", "network"]
MIRRORED = [-1.0, 1.0, 1.0]  # what becomes of a vector's components


class RegistrationInferer(Inferer):
    """Predict the ddf (B, 3, H, W, D), float32, of a pair on the network grid.

    Hosts call inferers in three ways: MONAI's engines pass both scans as one tensor and the mask beside it, MONAI Label
    one tensor and nothing else, so that the mask is its third channel, MONAI Deploy one tensor for each input of
    `metadata.json`.

    Args:
        refine: "none" for the network alone, "field" to refine its ddf, "network" to fine-tune a copy on the pair.
        mirror: average the network's ddf with what it predicts of the pair mirrored along the first axis, as nnU-Net
            averages segmentations: a tenth less error for twice the network's time (docs/method.md).
        network_factor: voxel size the network works on relative to the grid's, where it has learnt on coarser voxels.
        instance_optimization, network_fine_tuning: how; the one that `refine` names is needed.
    Raises: ValueError for another `refine`, or one whose refinement is missing.
    """

    def __init__(
        self,
        *,
        refine: Refine = "none",
        mirror: bool = False,
        network_factor: float = 1.0,
        instance_optimization: InstanceOptimization | None = None,
        network_fine_tuning: NetworkFineTuning | None = None,
    ) -> None:
        super().__init__()
        if refine not in get_args(Refine):
            raise ValueError(f"refine: expected one of {get_args(Refine)}, got {refine!r}")
        self.mirror = mirror
        self.network_factor = network_factor
        self.instance_optimization = instance_optimization if refine == "field" else None
        self.network_fine_tuning = network_fine_tuning if refine == "network" else None
        if refine != "none" and self.instance_optimization is None and self.network_fine_tuning is None:
            raise ValueError(f"refine: {refine!r} needs {refine}_refinement")

    def __call__(
        self,
        inputs: Tensor,
        network: nn.Module,
        moving: Tensor | None = None,
        mask: Tensor | None = None,
        *args: Any,
        **kwargs: Any,
    ) -> Tensor:
        """Run the network, and the refinement in float32 whatever autocast says.

        Args:
            inputs: (B, 2, H, W, D), fixed and moving in [0, 1]; with the mask (B, 3, H, W, D); or fixed alone
                (B, 1, H, W, D).
            network: maps (B, 2, H, W, D) to the ddf.
            moving: (B, 1, H, W, D), with `inputs` of one channel.
            mask: (B, 1, H, W, D), where the refinement compares the scans; the whole image without one.
        """
        image = _plain(inputs if moving is None else torch.cat([inputs, moving], dim=1))
        region = None if mask is None else _plain(mask)
        if image.shape[1] == 3:
            image, region = image[:, :2], image[:, 2:]
        seen = self._coarsen(image)
        seen_region = None if region is None else self._coarsen(region)
        if self.network_fine_tuning is not None:
            with torch.autocast(image.device.type, enabled=False):
                network = self.network_fine_tuning(network, seen, seen_region)
        ddf_vox: Tensor = network(seen, *args, **kwargs).float()
        if self.mirror:
            mirrored = network(seen.flip(2), *args, **kwargs).float().flip(2)
            ddf_vox = (ddf_vox + mirrored * ddf_vox.new_tensor(MIRRORED).view(1, 3, 1, 1, 1)) / 2
        if seen is not image:
            ddf_vox = resize_ddf(ddf_vox, list(image.shape[2:]))
        if self.instance_optimization is not None:
            with torch.autocast(image.device.type, enabled=False):
                ddf_vox = self.instance_optimization(ddf_vox, image, region)
        return ddf_vox

    def _coarsen(self, volume: Tensor) -> Tensor:
        """What the network sees of a volume (B, C, H, W, D): all of it, in voxels of its own."""
        if self.network_factor == 1:
            return volume
        multiple = SIDE_MULTIPLE * self.network_factor
        sides = [SIDE_MULTIPLE * max(round(side / multiple), 1) for side in volume.shape[2:]]
        return F.interpolate(volume, size=sides, mode="area")


def _plain(volume: Tensor) -> Tensor:
    """Every operation on a MetaTensor copies its metadata: slower than the convolutions."""
    return volume.as_tensor() if isinstance(volume, MetaTensor) else volume
