"""The released network outside Python: TorchScript and ONNX by MONAI's commands, on a pair of real scans."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import onnx
import onnxruntime
import pytest
import torch
from monai.bundle import ConfigParser, onnx_export
from torch import Tensor, nn

from bundle.networks import RRN
from tests.recipes import save_weights

ROOT = Path(__file__).parents[2]
PAIR = ROOT.parent / "shared" / "data" / "followup_pair"
TOLERANCE_VOX = 1e-3
pytestmark = pytest.mark.slow


def parse_inference(**override: object) -> ConfigParser:
    parser = ConfigParser(ConfigParser.load_config_file(ROOT / "configs" / "inference.json"))
    parser.update(override)
    return parser


def monai_bundle(command: str, *arguments: str | Path) -> None:
    """Run a command of docs/hosts.md in the bundle root."""
    done = subprocess.run(
        [sys.executable, "-m", "monai.bundle", command, "--config_file", "configs/inference.json", *arguments],
        cwd=ROOT, capture_output=True, text=True, timeout=600,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-4000:]


@pytest.fixture(scope="module")
def image(small_phantoms: Path, tmp_path_factory: pytest.TempPathFactory) -> Tensor:
    """What the network sees of the follow-up pair, (1, 2, H, W, D), 4 mm voxels; of a phantom where it is absent."""
    folder, suffix = (PAIR, ".mha") if PAIR.exists() else (small_phantoms / "test_00", ".nii.gz")
    scans = {key: str(folder / f"{key}{suffix}") for key in ("fixed", "moving")}
    parser = parse_inference(**scans, spacing_mm=4.0, output_dir=str(tmp_path_factory.mktemp("image")))
    return parser.get_parsed_content("dataset")[0]["image"].as_tensor()[None]


@pytest.fixture(scope="module")
def ddf_vox(image: Tensor) -> Tensor:
    """The eager network's answer."""
    network: nn.Module = parse_inference().get_parsed_content("network_def").eval()
    network.load_state_dict(torch.load(ROOT / "models" / "model.pt", weights_only=True))
    with torch.no_grad():
        ddf_vox = network(image)
    assert ddf_vox.abs().max() > 1  # there is something to agree on
    return ddf_vox


@pytest.fixture(scope="module")
def onnx_file(image: Tensor, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("onnx") / "model.onnx"
    weights = ("--net_id", "network_def", "--ckpt_file", "models/model.pt")
    monai_bundle("onnx_export", *weights, "--filepath", path, "--input_shape", str(list(image.shape)))
    return path


def run_onnx(path: Path, image: Tensor) -> Tensor:
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    (ddf_vox,) = session.run(None, {session.get_inputs()[0].name: image.numpy()})
    return torch.from_numpy(ddf_vox)


@torch.no_grad()
def test_torchscript_gives_the_ddf_of_the_pair(image: Tensor, ddf_vox: Tensor, tmp_path: Path) -> None:
    monai_bundle("ckpt_export", "--filepath", tmp_path / "model.ts")
    scripted = torch.jit.load(tmp_path / "model.ts")
    for _ in range(2):  # the second call runs the optimised graph
        torch.testing.assert_close(scripted(image), ddf_vox, atol=TOLERANCE_VOX, rtol=0)


def test_onnxruntime_gives_the_ddf_of_the_pair(onnx_file: Path, image: Tensor, ddf_vox: Tensor) -> None:
    torch.testing.assert_close(run_onnx(onnx_file, image), ddf_vox, atol=TOLERANCE_VOX, rtol=0)


def test_onnx_takes_the_exported_size_alone_unless_its_sides_are_freed(onnx_file: Path, image: Tensor) -> None:
    with pytest.raises(onnxruntime.capi.onnxruntime_pybind11_state.InvalidArgument, match="invalid dimensions"):
        run_onnx(onnx_file, image[..., :16])


@torch.no_grad()
@pytest.mark.filterwarnings("ignore:.*dynamic_axes.*")
def test_onnx_with_free_sides_takes_other_sizes(tmp_path: Path) -> None:
    """On a network with a smaller neighbourhood: exporting the released one so takes a minute."""
    arguments = {"channels": [16, 32, 64, 96], "radius_vox": 1, "neighbourhood": "cityblock"}
    network = RRN(**arguments).eval()  # type: ignore[arg-type]
    for head in (network.top_estimator.head, network.estimators[0].head, network.final_estimator.head):
        nn.init.constant_(head.bias, 0.4)  # several voxels of displacement: warping must agree, too
    save_weights(network, tmp_path / "model.pt", network={"_target_": "bundle.networks.RRN", **arguments})
    names = {"input_names": ["image"], "output_names": ["pred"]}
    onnx_export(
        net_id="network_def",
        filepath=str(tmp_path / "model.onnx"),
        ckpt_file=str(tmp_path / "model.pt"),
        config_file=str(ROOT / "configs" / "inference.json"),
        input_shape=[1, 2, 32, 48, 64],
        converter_kwargs=names | {"dynamic_axes": {"image": {2: "H", 3: "W", 4: "D"}}},
        weights=str(tmp_path / "model.pt"),
    )
    for shape in ((32, 48, 64), (48, 32, 16)):
        image = torch.rand(1, 2, *shape, generator=torch.Generator().manual_seed(0))
        torch.testing.assert_close(run_onnx(tmp_path / "model.onnx", image), network(image), atol=TOLERANCE_VOX, rtol=0)


def ranks(graph: onnx.GraphProto) -> Mapping[str, int]:
    values = [*graph.value_info, *graph.input, *graph.output]
    return {value.name: len(value.type.tensor_type.shape.dim) for value in values}


def test_what_tensorrt_lacks_is_sampling_of_volumes(onnx_file: Path) -> None:
    """docs/hosts.md lists the operators it takes of ours, and the one it takes for images (rank 4) only."""
    graph = onnx.load(onnx_file).graph
    paragraph = re.search(r"Operators of `model.onnx`:(.*?)\n\n", (ROOT / "docs" / "hosts.md").read_text(), re.DOTALL)
    assert paragraph is not None
    assert {node.op_type for node in graph.node} == set(re.findall(r"[A-Z]\w+", paragraph.group(1)))
    sampled = [ranks(graph)[node.input[0]] for node in graph.node if node.op_type == "GridSample"]
    assert sampled == [5, 5]  # the moving features of two levels
