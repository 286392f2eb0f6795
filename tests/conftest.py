"""Fixtures shared by several test folders; importable helpers are in `tests.grids` and `tests.chest`."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
import torch
from torch import Tensor

from bundle.geometry import WorldTransform, apply_affine
from bundle.io import write_image
from bundle.synthetic.phantom import write_phantoms
from scripts.package import package
from tests.chest import Chest, lungs_of, render
from tests.grids import LPS, affine_to_sitk, make_affine, rotation, to_sitk, waves_vox
from tests.synthetic.breath.simulated import chest

NUM_LANDMARKS = 12


@pytest.fixture(autouse=True)
def _one_thread(request: pytest.FixtureRequest) -> Iterator[None]:
    """One thread for small volumes: waiting threads on a busy machine are up to 20 times slower."""
    threads = torch.get_num_threads()
    if request.node.get_closest_marker("slow") is None:
        torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@dataclass(frozen=True)
class SyntheticPair:
    """Files of two chest scans that differ by a ground-truth affine.

    Args:
        item: paths, as in a pairs file: name, scans, masks, landmarks, initial_transform (the ground truth).
        truth: (4, 4), fixed to moving world, RAS mm.
        fixed_mm, moving_mm: (N, 3) landmarks, RAS mm.
    """

    item: dict[str, str]
    truth: Tensor
    fixed_mm: Tensor
    moving_mm: Tensor

    @property
    def gentle_transform(self) -> WorldTransform:
        """The ground-truth affine composed with an invertible wave on an oblique grid."""
        shape = (16, 18, 20)
        grid = make_affine(shape, (14.0, 12.0, 11.0), angles_deg=(4, 0, -6))
        return WorldTransform(waves_vox(shape, amplitude_vox=0.3), grid, self.truth @ grid)


@pytest.fixture(scope="session")
def synthetic_pair(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., SyntheticPair]:
    """Write a pair with SimpleITK: oblique anisotropic grids of different shape, a table shift of 40 mm, int16 HU.

    Written once for all tests: copy files before changing them.
    """

    @cache
    def write(*, suffix: str = ".nii.gz") -> SyntheticPair:
        chest = Chest()
        folder = tmp_path_factory.mktemp("chest")
        truth = rotation(3, -2, 1)
        truth[:3, :3] *= torch.tensor([1.05, 0.97, 0.93])
        truth[:3, 3] = torch.tensor([6.0, -8.0, 40.0])
        centre = tuple(truth[:3, 3].tolist())
        grids = {
            "fixed": ((48, 44, 42), make_affine((48, 44, 42), (4.5, 4.0, 5.0), angles_deg=(4, 0, -6))),
            "moving": ((44, 40, 46), make_affine((44, 40, 46), (5.0, 4.5, 4.5), flip=(-1, -1, 1), centre_mm=centre)),
        }
        to_chest = {"fixed": torch.eye(4, dtype=torch.float64), "moving": torch.linalg.inv(truth)}
        fixed_mm = _landmarks(chest)
        points = {"fixed": fixed_mm, "moving": apply_affine(truth, fixed_mm)}
        item = {"name": "chest"}
        for key, (shape, affine) in grids.items():
            scan = render(chest, shape, affine, to_chest=to_chest[key])
            mask = lungs_of(chest, scan, to_chest=to_chest[key])
            paths = {key: f"{key}{suffix}", f"{key}_mask": f"{key}_mask.nrrd", f"{key}_landmarks": f"{key}.csv"}
            item |= {role: str(folder / file) for role, file in paths.items()}
            image = to_sitk(scan[0].as_tensor().round(), affine)
            sitk.WriteImage(sitk.Cast(image, sitk.sitkInt16), item[key])
            sitk.WriteImage(sitk.Cast(to_sitk(mask[0].as_tensor(), affine), sitk.sitkUInt8), item[f"{key}_mask"])
            rows = (points[key].numpy() @ LPS).tolist()
            text = "".join(",".join(f"{value:.6f}" for value in row) + "\n" for row in rows)
            Path(item[f"{key}_landmarks"]).write_text("x,y,z\n" + text)
        item["initial_transform"] = str(folder / "initial.tfm")
        sitk.WriteTransform(affine_to_sitk(truth), item["initial_transform"])
        return SyntheticPair(item, truth, points["fixed"], points["moving"])

    return write


def _landmarks(chest: Chest) -> Tensor:
    """Landmarks more than 8 mm inside the lungs, (N, 3) RAS mm."""
    candidates = (torch.rand(2000, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64) - 0.5) * 160
    depth_mm = torch.stack([chest.lung_depth_mm(candidates, side) for side in chest.sides]).amax(dim=0)
    return candidates[depth_mm > 8][:NUM_LANDMARKS]


@pytest.fixture(scope="session")
def small_phantoms(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of six coarse phantom pairs: two each for training, validation and test."""
    folder = tmp_path_factory.mktemp("phantoms")
    write_phantoms(folder, num_training=2, num_validation=2, num_test=2, spacing_mm=(4.0, 4.0, 5.0))
    return folder


@pytest.fixture(scope="session")
def packaged(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of the model zoo package; its large files are downloaded from the folder itself."""
    folder = tmp_path_factory.mktemp("zoo") / "package"
    package(str(folder))
    return folder


@pytest.fixture(scope="session")
def chest_ct(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An oblique CT of a chest at inhale."""
    path = tmp_path_factory.mktemp("ct") / "chest.nii.gz"
    scan, _ = chest(oblique=True)
    write_image(path, scan[0].as_tensor(), scan.affine, dtype=np.int16)
    return path
