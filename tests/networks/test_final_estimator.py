import torch
from torch import nn

from bundle.networks import FinalEstimator


def test_its_layers_are_dilated_as_specified() -> None:
    convs = [layer for layer in FinalEstimator().layers if isinstance(layer, nn.Conv3d)]
    assert [conv.out_channels for conv in convs] == [128, 128, 128, 96, 64, 32]
    assert [conv.dilation[0] for conv in convs] == [1, 2, 4, 8, 16, 1]


def test_it_adds_to_the_ddf_in_float32_even_under_autocast() -> None:
    generator = torch.Generator().manual_seed(0)
    estimator = FinalEstimator()
    context = torch.randn((1, 32, 4, 5, 6), generator=generator).bfloat16()
    ddf_vox = 10 + torch.rand((1, 3, 4, 5, 6), generator=generator)
    with torch.autocast("cpu", torch.bfloat16):
        refined = estimator(context, ddf_vox)
    assert refined.dtype == torch.float32
    assert (refined - ddf_vox).any()

    nn.init.zeros_(estimator.head.weight)
    nn.init.zeros_(estimator.head.bias)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(estimator(context, ddf_vox), ddf_vox)
