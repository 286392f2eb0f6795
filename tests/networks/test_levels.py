from __future__ import annotations

import pytest
import torch
from torch import nn

from bundle.networks import RRN, estimate_levels

SHAPE = (16, 32, 48)


def image() -> torch.Tensor:
    return torch.rand(1, 2, *SHAPE, generator=torch.Generator().manual_seed(0))


def test_the_rrn_gives_the_field_of_every_stage_the_last_as_forward_does() -> None:
    torch.manual_seed(0)
    network = RRN()
    ddfs = estimate_levels(image(), network, amp=False)
    assert [ddf.shape[-1] for ddf in ddfs] == [3, 6, 12, 12, 48]
    torch.testing.assert_close(ddfs[-1], network(image()))


def test_a_network_without_stages_gives_its_field_alone() -> None:
    network = nn.Conv3d(2, 3, 1)
    (ddf,) = estimate_levels(image(), network, amp=False)
    torch.testing.assert_close(ddf, network(image()))


@pytest.mark.parametrize("amp", [False, True])
def test_fields_are_float32_and_mixed_precision_is_used_when_asked_for(amp: bool) -> None:
    seen = []
    network = nn.Conv3d(2, 3, 1)
    network.register_forward_hook(lambda module, inputs, output: seen.append(output.dtype))
    (ddf,) = estimate_levels(image(), network, amp=amp)
    assert ddf.dtype == torch.float32
    assert seen == [torch.bfloat16 if amp else torch.float32]
