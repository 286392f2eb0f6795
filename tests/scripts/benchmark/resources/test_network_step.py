import pytest

from scripts.benchmark.resources.network_step import KINDS, steps_s


@pytest.mark.parametrize("network", ["RRN", "VoxelMorph"])
@pytest.mark.parametrize("kind", KINDS)
def test_the_first_step_is_not_counted(network: str, kind: str) -> None:
    assert len(steps_s(network, kind, 32, 2)) == 1
