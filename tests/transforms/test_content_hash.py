from __future__ import annotations

import torch
from monai.data import MetaTensor

from bundle.io import content_sha256
from bundle.transforms import ContentHashd


def test_the_hash_of_each_scan_is_added() -> None:
    scans = {key: MetaTensor(torch.rand(1, 3, 4, 5) * 1000) for key in ("fixed", "moving")}
    result = ContentHashd(["fixed", "moving"])(scans)
    assert result["fixed_sha256"] == content_sha256(scans["fixed"])
    assert result["moving_sha256"] == content_sha256(scans["moving"]) != result["fixed_sha256"]
