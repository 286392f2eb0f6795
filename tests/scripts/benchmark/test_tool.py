from __future__ import annotations

import ast
import os
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import itk
import numpy as np
import pytest
import SimpleITK as sitk
import torch
from torch import Tensor

from bundle.io import read_displacement
from scripts.benchmark import tool as benchmark_tool
from tests.chest import Chest, lungs_of, render
from tests.grids import LPS, make_affine, to_sitk
from tests.hosts.environments import needs, python_of

TWO_MINUTES = pytest.mark.skipif("TEST_ELASTIX" not in os.environ, reason="minutes; .ci/run sets TEST_ELASTIX")
SHAPE = (40, 36, 34)
AFFINE = make_affine(SHAPE, (5.5, 5.0, 6.0), angles_deg=(4, 0, -6), centre_mm=(10.0, -20.0, -300.0))
MOVING_SHAPE = (46, 40, 36)
SHIFT_MM = torch.tensor([14.0, -9.0, 26.0], dtype=torch.float64)
CENTRE_MM = (SHIFT_MM + torch.tensor([12.0, -17.0, -304.0])).tolist()  # of the moving grid: not just shifted


def write_scan(path: Path, values: Tensor, affine: Tensor, *, pixel: int = sitk.sitkInt16) -> str:
    sitk.WriteImage(sitk.Cast(to_sitk(values.round(), affine), pixel), str(path))
    return str(path)


@pytest.fixture(scope="module")
def shifted_pair(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """A chest at (10, -20, -300) mm and the same chest moved by `SHIFT_MM`, on another grid; with the fixed mask."""
    folder = tmp_path_factory.mktemp("shifted")
    to_chest = torch.eye(4, dtype=torch.float64)
    to_chest[:3, 3] = -torch.tensor([10.0, -20.0, -300.0])
    from_moving = to_chest.clone()
    from_moving[:3, 3] -= SHIFT_MM
    moving_affine = make_affine(MOVING_SHAPE, (4.5, 5.0, 6.5), flip=(-1, -1, 1), centre_mm=tuple(CENTRE_MM))
    fixed = render(Chest(), SHAPE, AFFINE, to_chest=to_chest)
    moving = render(Chest(), MOVING_SHAPE, moving_affine, to_chest=from_moving)
    mask = lungs_of(Chest(), fixed, to_chest=to_chest)
    return {
        "fixed": write_scan(folder / "fixed.nii.gz", fixed[0].as_tensor(), AFFINE),
        "moving": write_scan(folder / "moving.mha", moving[0].as_tensor(), moving_affine),
        "fixed_mask": write_scan(folder / "mask.nrrd", mask[0].as_tensor(), AFFINE, pixel=sitk.sitkUInt8),
    }


def test_the_runner_needs_nothing_of_the_bundle() -> None:
    tree = ast.parse(Path(benchmark_tool.__file__).read_text())
    imported = {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
    imported |= {str(node.module) for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    assert not {name.split(".")[0] for name in imported} & {"bundle", "scripts", "monai", "torch"}


def test_scans_are_clipped_to_the_window_and_air_is_zero(tmp_path: Path) -> None:
    hu = torch.tensor([-1024.0, -1000.0, -300.0, 200.0, 1500.0]).view(5, 1, 1).expand(5, 4, 3)
    image = benchmark_tool.read_scan(write_scan(tmp_path / "scan.nii.gz", hu, AFFINE))
    assert itk.array_from_image(image)[0, 0].tolist() == [0, 0, 700, 1200, 1200]


def test_vectors_arrive_in_the_bundle_on_an_oblique_grid(tmp_path: Path, shifted_pair: dict[str, str]) -> None:
    fixed = benchmark_tool.read_scan(shifted_pair["fixed"])
    field_ras = torch.rand((3, *SHAPE), generator=torch.Generator().manual_seed(0)) * 20
    vectors_lps = np.einsum("ab,bhwd->dwha", LPS, field_ras.numpy())
    benchmark_tool.write_displacement(tmp_path / "new" / "displacement.nii.gz", vectors_lps, fixed)
    field_mm, affine = read_displacement(tmp_path / "new" / "displacement.nii.gz")
    torch.testing.assert_close(field_mm, field_ras)
    torch.testing.assert_close(affine, AFFINE, atol=1e-3, rtol=0)
    with pytest.raises(RuntimeError, match=r"expected vectors \(34, 36, 40, 3\) on the fixed grid, got \(2, 2, 2, 3\)"):
        benchmark_tool.write_displacement(tmp_path / "displacement.nii.gz", np.zeros((2, 2, 2, 3)), fixed)


def test_convexadams_voxels_become_mm_along_the_axes_of_the_grid_plus_the_centring(
    monkeypatch: pytest.MonkeyPatch, shifted_pair: dict[str, str]
) -> None:
    """What `convex_adam_pt` would find is given: one voxel along the second axis everywhere."""
    answer = ModuleType("convexAdam.convex_adam_MIND")
    answer.convex_adam_pt = lambda fixed, moving: np.broadcast_to([0.0, 1.0, 0.0], (*fixed.shape, 3))  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "convexAdam", ModuleType("convexAdam"))
    monkeypatch.setitem(sys.modules, "convexAdam.convex_adam_MIND", answer)
    scans = [benchmark_tool.read_scan(shifted_pair[key]) for key in ("fixed", "moving")]
    found = benchmark_tool.run_convexadam(*scans, None)
    assert found.shape == (*SHAPE[::-1], 3)
    expected_ras = AFFINE[:3, 1] + torch.tensor(CENTRE_MM) - torch.tensor([10.0, -20.0, -300.0])
    np.testing.assert_allclose(found[3, 5, 7], LPS @ expected_ras.numpy(), atol=1e-3)


def test_an_unknown_tool_is_named() -> None:
    with pytest.raises(ValueError, match="tool: expected one of elastix, ants, convexadam, got 'demons'"):
        benchmark_tool.register("demons", "fixed.nii.gz", "moving.nii.gz", "out")


@pytest.mark.parametrize("option", ["--output_dir", "--out"])
def test_the_command_takes_the_former_name_of_its_folder_too(option: str) -> None:
    command = [sys.executable, benchmark_tool.__file__, "demons", "fixed.nii.gz", "moving.nii.gz", option, "folder"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert "tool: expected one of elastix, ants, convexadam, got 'demons'" in done.stderr


@pytest.mark.slow
@needs("benchmark")
@pytest.mark.parametrize("tool", ["ants", "convexadam", pytest.param("elastix", marks=TWO_MINUTES)])
def test_every_tool_recovers_a_translation(tool: str, tmp_path: Path, shifted_pair: dict[str, str]) -> None:
    # without the mask: elastix finds no samples in one as coarse as this
    options = [word for key in ("fixed", "moving") for word in (f"--{key}", shifted_pair[key])]
    command = [str(python_of("benchmark")), benchmark_tool.__file__, tool, *options, "--output_dir", str(tmp_path)]
    subprocess.run(command, check=True, cwd=tmp_path)
    field_mm, _ = read_displacement(tmp_path / "displacement.nii.gz")
    inside = torch.from_numpy(sitk.GetArrayFromImage(sitk.ReadImage(shifted_pair["fixed_mask"])).transpose(2, 1, 0)) > 0
    error_mm = (field_mm - SHIFT_MM.float().view(3, 1, 1, 1))[:, inside]
    # a wrong sign or axis is 18 mm or more, half a voxel 2.5 mm or more; between vessels the fields are uncertain
    assert error_mm.mean(dim=1).norm() < 1.0
    assert error_mm.norm(dim=0).median() < 2.5
    assert {path.name for path in tmp_path.iterdir()} == {"displacement.nii.gz"}
