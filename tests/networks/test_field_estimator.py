from collections.abc import Callable

import torch
from torch import Tensor

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


def test_gradcheck_of_the_dense_block() -> None:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        estimator = FieldEstimator(in_channels=2).double()
    inputs = torch.rand((1, 2, 2, 1, 2), generator=torch.Generator().manual_seed(0)).double().requires_grad_()
    # of the context: the head rounds to float32
    assert torch.autograd.gradcheck(lambda values: estimator(values)[1], inputs, fast_mode=True)


def test_gradients_under_autocast_are_as_precise_as_those_of_concatenated_layers() -> None:
    """bfloat16 rounds to 8 bits, which also turns the sign of some activations: in one form as in the other."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        estimator = FieldEstimator(in_channels=5)
    inputs = torch.rand((1, 5, 6, 7, 8), generator=torch.Generator().manual_seed(0)).requires_grad_()

    def concatenated(inputs: Tensor) -> Tensor:
        parts = [inputs]
        for layer in estimator.layers:
            parts.append(layer(torch.cat(parts, dim=1)))
        return estimator.head(parts[-1]).float()

    def gradients(forward: Callable[[Tensor], Tensor], *, amp: bool) -> list[Tensor]:
        with torch.autocast("cpu", torch.bfloat16, enabled=amp):
            ddf_vox = forward(inputs)
        return list(torch.autograd.grad(ddf_vox.square().mean(), [inputs, *estimator.parameters()]))

    exact = gradients(concatenated, amp=False)
    ours, theirs = (gradients(forward, amp=True) for forward in (lambda values: estimator(values)[0], concatenated))
    for found, usual, expected in zip(ours, theirs, exact, strict=True):
        assert found.dtype == torch.float32
        error, usual_error = ((gradient - expected).norm() / expected.norm() for gradient in (found, usual))
        assert error < 1.3 * usual_error + 2**-8
