import torch

from bundle.networks import FieldEstimator


def test_every_layer_sees_all_before_it_and_the_head_sees_the_last() -> None:
    estimator = FieldEstimator(in_channels=5)
    inputs = [layer[0].in_channels for layer in estimator.layers]
    assert inputs == [5, 5 + 128, 5 + 128 + 128, 5 + 128 + 128 + 96, 5 + 128 + 128 + 96 + 64]

    inputs = torch.rand((1, 5, 3, 4, 5), generator=torch.Generator().manual_seed(0))
    ddf_vox, context = estimator(inputs)
    for layer in estimator.layers:
        output = torch.conv3d(inputs, layer[0].weight, layer[0].bias, padding=1)
        output = output.where(output > 0, 0.05 * output)
        inputs = torch.cat([inputs, output], dim=1)
    torch.testing.assert_close(context, output)
    torch.testing.assert_close(ddf_vox, torch.conv3d(context, estimator.head.weight, estimator.head.bias, padding=1))
    assert context.shape == (1, 32, 3, 4, 5)
    assert ddf_vox.shape == (1, 3, 3, 4, 5)


def test_its_ddf_is_float32_under_autocast() -> None:
    with torch.autocast("cpu", torch.bfloat16):
        ddf_vox, context = FieldEstimator(in_channels=5)(torch.zeros(1, 5, 3, 4, 5))
    assert ddf_vox.dtype == torch.float32
    assert context.dtype == torch.bfloat16
