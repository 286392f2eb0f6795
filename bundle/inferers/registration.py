"""Apply the network to a pair of scans."""

from __future__ import annotations

from typing import Any

import torch
from monai.data import MetaTensor
from monai.inferers import Inferer
from torch import Tensor, nn


class RegistrationInferer(Inferer):
    """Predict the ddf (B, 3, H, W, D), float32, of a pair on the network grid.

    Hosts call inferers in two ways: MONAI's engines and MONAI Label pass one tensor with both scans, MONAI Deploy one
    tensor for each input of `metadata.json`.
    """

    def __call__(
        self, inputs: Tensor, network: nn.Module, moving: Tensor | None = None, *args: Any, **kwargs: Any
    ) -> Tensor:
        """Run the network.

        Args:
            inputs: (B, 2, H, W, D), fixed and moving in [0, 1]; or fixed alone (B, 1, H, W, D).
            network: maps (B, 2, H, W, D) to the ddf.
            moving: (B, 1, H, W, D), with `inputs` of one channel.
        """
        image = inputs if moving is None else torch.cat([inputs, moving], dim=1)
        if isinstance(image, MetaTensor):  # every operation on one copies its metadata: slower than the convolutions
            image = image.as_tensor()
        ddf_vox: Tensor = network(image, *args, **kwargs)
        return ddf_vox.float()
