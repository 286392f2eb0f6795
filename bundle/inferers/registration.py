"""Apply the network to a pair of scans and refine its answer."""

from __future__ import annotations

from typing import Any, Literal, get_args

import torch
from monai.data import MetaTensor
from monai.inferers import Inferer
from torch import Tensor, nn

from bundle.inferers.field_refinement import FieldRefinement
from bundle.inferers.network_refinement import NetworkRefinement

Refine = Literal["none", "field", "network"]


class RegistrationInferer(Inferer):
    """Predict the ddf (B, 3, H, W, D), float32, of a pair on the network grid.

    Hosts call inferers in two ways: MONAI's engines and MONAI Label pass one tensor with both scans, MONAI Deploy one
    tensor for each input of `metadata.json`.

    Args:
        refine: "none" for the network alone, "field" to refine its ddf, "network" to fine-tune a copy on the pair.
        field_refinement, network_refinement: how; the one that `refine` names is needed.
    Raises: ValueError for another `refine`, or one whose refinement is missing.
    """

    def __init__(
        self,
        *,
        refine: Refine = "none",
        field_refinement: FieldRefinement | None = None,
        network_refinement: NetworkRefinement | None = None,
    ) -> None:
        super().__init__()
        if refine not in get_args(Refine):
            raise ValueError(f"refine: expected one of {get_args(Refine)}, got {refine!r}")
        self.field_refinement = field_refinement if refine == "field" else None
        self.network_refinement = network_refinement if refine == "network" else None
        if refine != "none" and self.field_refinement is None and self.network_refinement is None:
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
            inputs: (B, 2, H, W, D), fixed and moving in [0, 1]; or fixed alone (B, 1, H, W, D).
            network: maps (B, 2, H, W, D) to the ddf.
            moving: (B, 1, H, W, D), with `inputs` of one channel.
            mask: (B, 1, H, W, D), where the refinement compares the scans; the whole image without one.
        """
        image = _plain(inputs if moving is None else torch.cat([inputs, moving], dim=1))
        region = None if mask is None else _plain(mask)
        if self.network_refinement is not None:
            with torch.autocast(image.device.type, enabled=False):
                network = self.network_refinement(network, image, region)
        ddf_vox: Tensor = network(image, *args, **kwargs).float()
        if self.field_refinement is not None:
            with torch.autocast(image.device.type, enabled=False):
                ddf_vox = self.field_refinement(ddf_vox, image, region)
        return ddf_vox


def _plain(volume: Tensor) -> Tensor:
    """Every operation on a MetaTensor copies its metadata: slower than the convolutions."""
    return volume.as_tensor() if isinstance(volume, MetaTensor) else volume
