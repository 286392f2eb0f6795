from __future__ import annotations

import torch
from torch import Tensor, nn

NEGATIVE_SLOPE = 0.05
DENSE_CHANNELS = (128, 128, 96, 64, 32)
CONTEXT_CHANNELS = DENSE_CHANNELS[-1]


class FieldEstimator(nn.Module):
    """Densely connected block that estimates the residual ddf of one level.

    Args:
        in_channels: total of all inputs: cost volume, fixed features, upsampled ddf, context.
    Source: He et al. 2021, sec. 3.3.
    """

    def __init__(self, *, in_channels: int) -> None:
        super().__init__()
        self.layers = nn.ModuleList()
        for out_channels in DENSE_CHANNELS:
            conv = nn.Conv3d(in_channels, out_channels, kernel_size=3, padding=1)
            self.layers.append(nn.Sequential(conv, nn.LeakyReLU(NEGATIVE_SLOPE, inplace=True)))
            in_channels += out_channels
        self.head = nn.Conv3d(CONTEXT_CHANNELS, 3, kernel_size=3, padding=1)

    def forward(self, inputs: Tensor) -> tuple[Tensor, Tensor]:
        """Map (B, in_channels, h, w, d) to a ddf (B, 3, h, w, d), float32, and the context (B, 32, h, w, d)."""
        parts = [inputs]
        for layer in self.layers:
            parts.append(layer(torch.cat(parts, dim=1)))
        return self.head(parts[-1]).float(), parts[-1]
