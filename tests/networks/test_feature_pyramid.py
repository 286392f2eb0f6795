import torch

from bundle.networks import FeaturePyramid


def test_each_level_halves_the_sides_and_has_its_own_channels() -> None:
    features = FeaturePyramid(channels=(4, 6, 8))(torch.zeros(2, 1, 16, 24, 32))
    assert [tuple(level.shape) for level in features] == [(2, 4, 8, 12, 16), (2, 6, 4, 6, 8), (2, 8, 2, 3, 4)]


def test_a_level_is_three_convolutions_with_leaky_relu_of_slope_a_tenth() -> None:
    pyramid = FeaturePyramid(channels=(4,))
    image = torch.rand((1, 1, 8, 10, 12), generator=torch.Generator().manual_seed(0))
    expected = image
    for index, stride in ((0, 2), (2, 1), (4, 1)):
        conv = pyramid.levels[0][index]
        expected = torch.conv3d(expected, conv.weight, conv.bias, stride=stride, padding=1)
        expected = expected.where(expected > 0, 0.1 * expected)
    torch.testing.assert_close(pyramid(image)[0], expected)
