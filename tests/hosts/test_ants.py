"""ANTs applies what we write, in an environment of its own: `bash scripts/hosts.sh benchmark` builds it."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from math import sqrt
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import SimpleITK as sitk
import torch

from bundle.geometry import swap_ras_lps
from bundle.io import check_header, read_image, write_displacement, write_transform
from bundle.resample import resample_displaced
from tests.conftest import SyntheticPair
from tests.grids import steepness
from tests.hosts.environments import needs, python_of
from tests.io.test_transform_file import rounding_mm

pytestmark = [pytest.mark.slow, needs("benchmark")]
APPLY = """
import json, sys, ants, pandas
fixed, moving, transform, points, out = sys.argv[1:]
images = [ants.image_read(path) for path in (fixed, moving)]
warped = ants.apply_transforms(*images, [transform], interpolator="linear", defaultvalue=-1000)
ants.image_write(warped, out + "/warped.nii.gz")
moved = ants.apply_transforms_to_points(3, pandas.DataFrame(json.loads(points), columns=["x", "y", "z"]), [transform])
json.dump(moved.to_numpy().tolist(), open(out + "/points.json", "w"))
"""


@pytest.mark.parametrize("name", ["transform.h5", "displacement.nii.gz"])
def test_ants_warps_images_and_points_as_we_do(
    name: str, synthetic_pair: Callable[..., SyntheticPair], tmp_path: Path
) -> None:
    pair = synthetic_pair()
    fixed, moving = read_image(pair.item["fixed"]), read_image(pair.item["moving"])
    transform = pair.gentle_transform
    displacement_mm = transform.displacement_mm(tuple(fixed.shape[1:]), fixed.affine)
    write_transform(tmp_path / "transform.h5", transform, check_header(pair.item["fixed"]).corners_mm)
    write_displacement(tmp_path / "displacement.nii.gz", displacement_mm, fixed.affine)
    points = json.dumps(swap_ras_lps(pair.fixed_mm).tolist())
    command = [
        python_of("benchmark"),
        "-c",
        APPLY,
        pair.item["fixed"],
        pair.item["moving"],
        tmp_path / name,
        points,
        tmp_path,
    ]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr[-4000:]

    moved_mm = swap_ras_lps(torch.tensor(json.loads((tmp_path / "points.json").read_text()), dtype=torch.float64))
    assert (moved_mm - pair.fixed_mm).norm(dim=1).min() > 30  # so that the wrong direction would be seen
    reach_mm = rounding_mm(transform) if name == "transform.h5" else 0.03  # between voxels of 4 to 5 mm
    torch.testing.assert_close(moved_mm, transform.transform_points_mm(pair.fixed_mm), atol=reach_mm, rtol=0)
    expected = resample_displaced(moving.as_tensor(), moving.affine, displacement_mm, fixed.affine, -1000.0)[0]
    lungs = nib.load(pair.item["fixed"]).get_fdata() < -400
    lungs &= read_image(pair.item["fixed_mask"])[0].numpy() > 0
    difference = np.abs(nib.load(tmp_path / "warped.nii.gz").get_fdata() - expected.numpy())[lungs]
    assert difference.mean() < 0.3
    scans = (sitk.ReadImage(pair.item[key]) for key in ("moving", "fixed"))
    steepest = steepness(*scans, sitk.ReadTransform(str(tmp_path / "transform.h5"))).numpy()
    assert (difference <= 0.01 + sqrt(3) * rounding_mm(transform) * steepest[lungs]).all()
