"""The RRN without any optimisation: one product a shift, concatenated inputs, default memory format.

It takes the weights of `bundle.networks.RRN` by name.
"""

from __future__ import annotations

from itertools import product

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from bundle.geometry import upsample_ddf, warp
from bundle.networks import RRN, normalize_features

PYRAMID_SLOPE = 0.1
SLOPE = 0.05


def plain_levels(network: RRN, image: Tensor) -> list[Tensor]:
    """What `network.forward_levels(image)` must give, and its gradient; image (B, 2, H, W, D)."""
    fixed, moving = (_pyramid(network, scan * 2 - 1) for scan in image.split(1, dim=1))
    ddfs: list[Tensor] = []
    context = torch.empty(0)
    for level, estimator in enumerate([network.top_estimator, *network.estimators]):
        target, source = fixed[-1 - level], moving[-1 - level]
        inputs = []
        if level > 0:
            upsampler = network.context_upsamplers[level - 1]
            ddf = upsample_ddf(ddfs[-1])
            inputs = [F.conv_transpose3d(context, upsampler.weight, upsampler.bias, stride=2, padding=1), ddf]
            source = warp(source, ddf)
        match = F.leaky_relu(_costs(network, *normalize_features(target, source)), SLOPE)
        seen = torch.cat([*inputs, match, target], dim=1)
        for layer in estimator.layers:
            context = F.leaky_relu(_convolved(layer[0], seen), SLOPE)
            seen = torch.cat([seen, context], dim=1)
        residual = _convolved(estimator.head, context)
        ddfs.append(ddf + residual if level > 0 else residual)
    hidden = torch.cat([context, ddfs[-1]], dim=1)
    for layer in network.final_estimator.layers:
        hidden = _convolved(layer, hidden) if isinstance(layer, nn.Conv3d) else F.leaky_relu(hidden, SLOPE)
    ddfs.append(ddfs[-1] + _convolved(network.final_estimator.head, hidden))
    return [*ddfs, upsample_ddf(ddfs[-1], 4)]


def _convolved(conv: nn.Conv3d, inputs: Tensor) -> Tensor:
    weight = conv.weight.contiguous()
    return F.conv3d(inputs.contiguous(), weight, conv.bias, conv.stride, conv.padding, conv.dilation)


def _pyramid(network: RRN, scan: Tensor) -> list[Tensor]:
    features = []
    for level in network.pyramid.levels:
        for layer in level:
            scan = _convolved(layer, scan) if isinstance(layer, nn.Conv3d) else F.leaky_relu(scan, PYRAMID_SLOPE)
        features.append(scan)
    return features


def _costs(network: RRN, fixed: Tensor, warped: Tensor) -> Tensor:
    radius, reach = network.cost_volume.radius_vox, network.cost_volume.reach_vox
    padded = F.pad(warped, [radius] * 6)
    h, w, d = fixed.shape[2:]
    return torch.stack(
        [
            (fixed * padded[:, :, i : i + h, j : j + w, k : k + d]).mean(dim=1)
            for i, j, k in product(range(2 * radius + 1), repeat=3)
            if abs(i - radius) + abs(j - radius) + abs(k - radius) <= reach
        ],
        dim=1,
    )
