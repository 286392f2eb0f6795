from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

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
        # Export formats do not know autograd functions. TorchScript skips what the first condition excludes.
        # Torch's stubs do not list is_scripting and is_tracing.
        if not torch.jit.is_scripting():  # type: ignore[attr-defined]
            is_exported = torch.jit.is_tracing() or torch.compiler.is_exporting()  # type: ignore[attr-defined]
            if not is_exported:
                context = _DenseBlock.apply(inputs, *self.layers.parameters())
                return self.head(context).float(), context
        for layer in self.layers:
            parts.append(layer(torch.cat(parts, dim=1)))
        context = parts[-1]
        return self.head(context).float(), context


class _DenseBlock(torch.autograd.Function):
    """The layers of a `FieldEstimator`, each of which sees the inputs and the outputs of all layers before it.

    Computed by source instead of by layer: the inputs, and then each layer's output, are convolved once with their part
    of the weights of all later layers, and the results are summed. The operations are those of the concatenated form,
    but their convolutions are wider (processors run them faster), and the backward pass needs each source once: 608
    channels on the finest level instead of 2112 of concatenations.
    """

    @staticmethod
    def forward(ctx: Any, inputs: Tensor, *parameters: Tensor) -> Tensor:
        """Output (B, 32, h, w, d) of the last layer; `parameters` are weight and bias of each layer."""
        weights, biases = parameters[::2], parameters[1::2]
        widths = [len(weight) for weight in weights]
        sources = [inputs]
        sums = F.conv3d(inputs, _weight_of_source(weights, 0), torch.cat(biases), padding=1)
        for n, width in enumerate(widths):
            if n > 0:
                sums = sums[:, widths[n - 1] :]
                sums += F.conv3d(sources[n], _weight_of_source(weights, n), padding=1)
            sources.append(F.leaky_relu(sums[:, :width], NEGATIVE_SLOPE))
        ctx.save_for_backward(*sources, *weights)
        return sources[-1]

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        layers = len(ctx.saved_tensors) // 2
        sources, weights = ctx.saved_tensors[: layers + 1], ctx.saved_tensors[layers + 1 :]
        by_weights = [torch.empty_like(weight) for weight in weights]
        by_sums: list[Tensor] = []  # of the layers from n on
        for n in reversed(range(layers)):
            by_sums.insert(0, torch.ops.aten.leaky_relu_backward(grad, sources[n + 1], NEGATIVE_SLOPE, True))
            by_later = torch.cat(by_sums, dim=1)
            grad, by_part, by_bias = torch.ops.aten.convolution_backward(
                by_later,
                sources[n].to(by_later.dtype),
                _weight_of_source(weights, n).to(by_later.dtype),
                [by_later.shape[1]],
                *([1, 1, 1], [1, 1, 1], [1, 1, 1]),  # stride, padding, dilation
                *(False, [0, 0, 0], 1),  # transposed, output padding, groups
                [True, True, n == 0],
            )
            for by_weight, part in zip(by_weights[n:], by_part.split([len(w) for w in weights[n:]]), strict=True):
                by_weight[:, _channels_of_source(weights, n)] = part
        by_biases = by_bias.to(weights[0].dtype).split([len(weight) for weight in weights])
        return grad.to(sources[0].dtype), *(by for pair in zip(by_weights, by_biases, strict=True) for by in pair)


def _channels_of_source(weights: Sequence[Tensor], n: int) -> slice:
    """Input channels of the later layers that hold source n: the inputs (0) or the output of layer n - 1."""
    return slice(weights[n - 1].shape[1] if n > 0 else 0, weights[n].shape[1])


def _weight_of_source(weights: Sequence[Tensor], n: int) -> Tensor:
    """Weight of the convolution of source n for all layers that see it, (channels of layers n and later, ...)."""
    return torch.cat([weight[:, _channels_of_source(weights, n)] for weight in weights[n:]])
