"""The three export formats of the network must give the ddf of eager mode to 1e-4 voxel."""

import json
from pathlib import Path

import onnxruntime
import pytest
import torch
from monai.bundle import onnx_export
from torch import Tensor

from bundle.networks import RRN

SHAPE = (16, 48, 32)
TOLERANCE_VOX = 1e-4


def noise(*shape: int) -> Tensor:
    return torch.rand(shape, generator=torch.Generator().manual_seed(0))


@pytest.fixture(scope="module")
def network() -> RRN:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = RRN().eval()
    for head in (network.top_estimator.head, network.estimators[0].head, network.final_estimator.head):
        torch.nn.init.constant_(head.bias, 0.4)  # several voxels of displacement: warping must agree, too
    return network


@torch.no_grad()
def test_the_scripted_network_takes_any_shape_and_gives_every_level(network: RRN, tmp_path: Path) -> None:
    torch.jit.script(network).save(tmp_path / "model.ts")
    scripted = torch.jit.load(tmp_path / "model.ts")
    for shape in ((1, 2, *SHAPE), (2, 2, 32, 16, 16)):
        image = noise(*shape)
        expected = network.forward_levels(image)
        assert expected[-1].abs().mean() > 1
        for _ in range(3):  # the second and third call run the optimised graph
            for ddf, reference in zip(scripted.forward_levels(image), expected, strict=True):
                torch.testing.assert_close(ddf, reference, atol=TOLERANCE_VOX, rtol=0)
        torch.testing.assert_close(scripted(image), expected[-1], atol=TOLERANCE_VOX, rtol=0)


def test_the_scripted_network_checks_sides(network: RRN) -> None:
    with pytest.raises(torch.jit.Error, match=r"multiples of 16, got 20 along W \(axis 1\)"):
        torch.jit.script(network)(torch.zeros(1, 2, 16, 20, 16))


@torch.no_grad()
@pytest.mark.parametrize("use_cost_volume", [True, False])
@pytest.mark.filterwarnings("ignore::torch.jit.TracerWarning")
def test_the_traced_network_agrees(network: RRN, use_cost_volume: bool) -> None:
    network = network if use_cost_volume else RRN(use_cost_volume=False).eval()
    traced = torch.jit.trace(network, noise(1, 2, *SHAPE))
    image = 1 - noise(1, 2, *SHAPE)
    torch.testing.assert_close(traced(image), network(image), atol=TOLERANCE_VOX, rtol=0)


@pytest.mark.slow
@torch.no_grad()
def test_the_network_exported_to_onnx_agrees(network: RRN, tmp_path: Path) -> None:
    torch.save(network.state_dict(), tmp_path / "model.pt")
    (tmp_path / "inference.json").write_text(json.dumps({"network_def": {"_target_": "bundle.networks.RRN"}}))
    (tmp_path / "metadata.json").write_text("{}")
    onnx_export(
        net_id="network_def",
        filepath=str(tmp_path / "model.onnx"),
        ckpt_file=str(tmp_path / "model.pt"),
        config_file=str(tmp_path / "inference.json"),
        meta_file=str(tmp_path / "metadata.json"),
        key_in_ckpt="",
        use_trace=True,
        input_shape=[1, 2, *SHAPE],
    )
    session = onnxruntime.InferenceSession(tmp_path / "model.onnx", providers=["CPUExecutionProvider"])
    image = 1 - noise(1, 2, *SHAPE)
    (ddf_vox,) = session.run(None, {session.get_inputs()[0].name: image.numpy()})
    torch.testing.assert_close(torch.from_numpy(ddf_vox), network(image), atol=TOLERANCE_VOX, rtol=0)
