from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn

from bundle.geometry import upsample_ddf, warp
from bundle.networks.cost_volume import CostVolume, normalize_features
from bundle.networks.feature_pyramid import FeaturePyramid
from bundle.networks.field_estimator import CONTEXT_CHANNELS, NEGATIVE_SLOPE, FieldEstimator
from bundle.networks.final_estimator import FinalEstimator

HEAD_GAIN = 0.01


class RRN(nn.Module):
    """Recursive Refinement Network: estimates the ddf between two scans, coarse to fine.

    Args:
        channels: of the feature pyramid's levels, fine to coarse.
        radius_vox, neighbourhood: see `CostVolume`.
        use_cost_volume: False replaces it with both normalised feature maps (the paper's ablation).
    Source: He et al. 2021, arXiv:2106.07608; details missing in the paper follow the authors' code.
    """

    def __init__(
        self,
        *,
        channels: tuple[int, ...] = (16, 32, 64, 96),
        radius_vox: int = 2,
        neighbourhood: Literal["cube", "cityblock"] = "cube",
        use_cost_volume: bool = True,
    ) -> None:
        super().__init__()
        self.use_cost_volume = use_cost_volume
        self.side_multiple = 2 ** len(channels)
        self.pyramid = FeaturePyramid(channels=channels)
        self.cost_volume = CostVolume(radius_vox=radius_vox, neighbourhood=neighbourhood)
        self.activation = nn.LeakyReLU(NEGATIVE_SLOPE, inplace=True)

        estimators: list[FieldEstimator] = []
        for width in reversed(channels[1:]):
            in_channels = width + (self.cost_volume.num_offsets if use_cost_volume else 2 * width)
            if estimators:
                in_channels += 3 + CONTEXT_CHANNELS
            estimators.append(FieldEstimator(in_channels=in_channels))
        self.top_estimator = estimators[0]
        self.estimators = nn.ModuleList(estimators[1:])
        self.context_upsamplers = nn.ModuleList(
            nn.ConvTranspose3d(CONTEXT_CHANNELS, CONTEXT_CHANNELS, kernel_size=4, stride=2, padding=1)
            for _ in self.estimators
        )
        self.final_estimator = FinalEstimator()
        self._initialize()
        # Convolutions follow the layout of their weights. Channels last is faster, above all in the backward pass and
        # for dilated convolutions on AVX2 (docs/benchmarks.md).
        self.to(memory_format=torch.channels_last_3d)  # type: ignore[call-overload]  # not in torch's stubs

    def _initialize(self) -> None:
        """Initialise layers to preserve the variance of activations, and heads to estimate a ddf near zero."""
        for module in self.modules():
            if isinstance(module, nn.Conv3d | nn.ConvTranspose3d):
                nn.init.kaiming_normal_(module.weight, a=NEGATIVE_SLOPE, nonlinearity="leaky_relu")
                if module.bias is not None:
                    nn.init.zeros_(module.bias)
        for module in self.modules():
            if isinstance(module, FieldEstimator | FinalEstimator):
                # Training starts from the initial alignment, not from a random field. Exact zeros would block the
                # gradient of all layers before the heads.
                with torch.no_grad():
                    module.head.weight.mul_(HEAD_GAIN)

    def forward(self, image: Tensor) -> Tensor:
        """Map (B, 2, H, W, D), fixed and moving in [0, 1], to the ddf (B, 3, H, W, D), float32, voxels.

        Raises: ValueError for another number of channels or a side that is not a multiple of 16.
        """
        return self.forward_levels(image)[-1]

    def forward_levels(self, image: Tensor) -> list[Tensor]:
        """Like `forward`, but returns the ddf of every stage, coarse to fine, float32, in voxels of its own grid.

        The stages are the estimators (1/16, 1/8, 1/4 of the resolution), the final estimator (1/4) and the output.
        """
        self._check(image)
        image = image * 2 - 1
        features = self.pyramid(torch.cat([image[:, :1], image[:, 1:]]))
        fixed, moving = features[-1].chunk(2)
        ddf, context = self.top_estimator(torch.cat([self._match(fixed, moving), fixed], dim=1))
        ddfs = [ddf]
        for level, (upsampler, estimator) in enumerate(zip(self.context_upsamplers, self.estimators)):  # noqa: B905
            fixed, moving = features[-2 - level].chunk(2)
            ddf = upsample_ddf(ddf)
            # Features are sampled in float32: half-precision coordinates have errors of whole voxels.
            match = self._match(fixed, warp(moving.float(), ddf))
            inputs = [upsampler(context), ddf.to(fixed.dtype), match, fixed]
            residual, context = estimator(torch.cat(inputs, dim=1))
            ddf = ddf + residual
            ddfs.append(ddf)
        ddfs.append(self.final_estimator(context, ddf))
        ddfs.append(upsample_ddf(ddfs[-1], 4))  # the finest estimated level has a quarter of the resolution
        return ddfs

    def _match(self, fixed: Tensor, warped: Tensor) -> Tensor:
        """Matching features of two feature maps (B, C, h, w, d), in the dtype of `fixed`."""
        dtype = fixed.dtype
        fixed, warped = normalize_features(fixed, warped)
        if self.use_cost_volume:
            match = self.activation(self.cost_volume(fixed, warped))
        else:
            match = torch.cat([fixed, warped], dim=1)
        return match.to(dtype)

    def _check(self, image: Tensor) -> None:
        if image.dim() != 5 or image.shape[1] != 2:
            raise ValueError(f"image: expected (B, 2, H, W, D), fixed and moving, got {image.shape}")
        for axis in range(3):
            side = image.shape[axis + 2]
            if side == 0 or side % self.side_multiple != 0:
                raise ValueError(
                    f"image: expected sides that are multiples of {self.side_multiple}, "
                    f"got {side} along {'HWD'[axis]} (axis {axis}) of {image.shape}"
                )
