from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from bundle.networks.field_estimator import CONTEXT_CHANNELS, NEGATIVE_SLOPE

CHANNELS = (128, 128, 128, 96, 64, 32)
DILATIONS = (1, 2, 4, 8, 16, 1)


class FinalEstimator(nn.Module):
    """Refine the finest estimated ddf with dilated convolutions, which have a large receptive field.

    Source: He et al. 2021, sec. 3.4; dilations as in the authors' code.
    """

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential()
        in_channels = CONTEXT_CHANNELS + 3
        for out_channels, dilation in zip(CHANNELS, DILATIONS, strict=True):
            self.layers.append(nn.Conv3d(in_channels, out_channels, 3, padding=dilation, dilation=dilation))
            self.layers.append(nn.LeakyReLU(NEGATIVE_SLOPE, inplace=True))
            in_channels = out_channels
        self.head = nn.Conv3d(in_channels, 3, kernel_size=3, padding=1)

    def forward(self, context: Tensor, ddf_vox: Tensor) -> Tensor:
        """Map the context (B, 32, h, w, d) and the ddf (B, 3, h, w, d) to the refined ddf, float32."""
        inputs = torch.cat([context, ddf_vox.to(context.dtype)], dim=1)
        # Torch's stubs do not list is_scripting.
        if self.training and not torch.jit.is_scripting():  # type: ignore[attr-defined]
            # A few percent of the network's operations, and a fifth of its maps: they are computed twice instead.
            features = checkpoint(self.layers, inputs, use_reentrant=False)
        else:
            features = self.layers(inputs)
        return ddf_vox + self.head(features).float()
