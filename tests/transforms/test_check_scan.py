import pytest
import torch
from monai.data import MetaTensor

from bundle.transforms.check_scan import CheckScand


def test_a_usable_scan_passes_unchanged() -> None:
    pair = {"fixed": MetaTensor(torch.rand(1, 4, 5, 6)), "name": "a"}
    assert CheckScand(("fixed", "moving"), allow_missing_keys=True)(pair) == pair


def test_an_unusable_scan_is_refused_by_file_name() -> None:
    scan = MetaTensor(torch.zeros(1, 4, 5, 6), meta={"filename_or_obj": "a.nii.gz"})
    with pytest.raises(ValueError, match=r"a\.nii\.gz: constant image: every voxel is 0"):
        CheckScand("fixed")({"fixed": scan})
