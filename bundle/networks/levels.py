from __future__ import annotations

import torch
from torch import Tensor, nn


def estimate_levels(image: Tensor, network: nn.Module, *, amp: bool) -> list[Tensor]:
    """The ddf of every stage of a network, coarse to fine, float32, for a loss of all of them; see `forward_levels`.

    Networks without stages give their ddf alone, and so does an RRN under DistributedDataParallel, whose gradients are
    gathered in `forward` only.

    Args:
        image: (B, 2, H, W, D), fixed and moving in [0, 1].
        network: maps it to the ddf.
        amp: mixed precision, with bfloat16 on a CPU.
    """
    forward_levels = getattr(network, "forward_levels", None)
    with torch.autocast(image.device.type, enabled=amp):
        ddfs = [network(image)] if forward_levels is None else forward_levels(image)
    return [ddf.float() for ddf in ddfs]
