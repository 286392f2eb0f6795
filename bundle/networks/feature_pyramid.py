from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

NEGATIVE_SLOPE = 0.1  # of the pyramid only, as in the authors' code; the rest of the network uses 0.05


class FeaturePyramid(nn.Module):
    """Features of one scan at 1/2, 1/4, ... of its resolution; both scans of a pair share the weights.

    Args:
        channels: of each level, fine to coarse.
    Source: He et al. 2021, sec. 3.1; layers as in the authors' code.
    """

    def __init__(self, *, channels: tuple[int, ...]) -> None:
        super().__init__()
        self.levels = nn.ModuleList()
        in_channels = 1
        for out_channels in channels:
            self.levels.append(
                nn.Sequential(
                    nn.Conv3d(in_channels, out_channels, kernel_size=3, stride=2, padding=1),
                    nn.LeakyReLU(NEGATIVE_SLOPE, inplace=True),
                    nn.Conv3d(out_channels, out_channels, kernel_size=3, padding=1),
                    nn.LeakyReLU(NEGATIVE_SLOPE, inplace=True),
                    nn.Conv3d(out_channels, out_channels, kernel_size=3, padding=1),
                    nn.LeakyReLU(NEGATIVE_SLOPE, inplace=True),
                )
            )
            in_channels = out_channels

    def forward(self, image: Tensor) -> list[Tensor]:
        """Map (B, 1, H, W, D) to one tensor (B, channels[l], H / 2^(l+1), ...) per level, fine to coarse."""
        features = []
        for n, level in enumerate(self.levels):
            # Torch's stubs do not list is_scripting.
            if n == 0 and self.training and not torch.jit.is_scripting():  # type: ignore[attr-defined]
                # The first level has few operations and the largest maps: computing it twice saves most for least.
                image = checkpoint(level, image, use_reentrant=False)
            else:
                image = level(image)
            features.append(image)
        return features
