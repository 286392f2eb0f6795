"""Convert the predicted field to a MONAI Label response."""

from __future__ import annotations

import json
from collections.abc import Callable, Hashable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from monai.data import MetaTensor
from monai.transforms import Transform

from bundle.data.pairs_to_register import REPORT
from bundle.io.images import as_stored

NUM_SCANS = 2  # channels of the network's input


class LabelResponsed(Transform):
    """Postprocess a pair of `LabelRequestd` and set the keys that MONAI Label reads.

    `pred` becomes the warped scan (1, H, W, D) on the fixed grid, int16 HU; `image` the fixed scan, whose grid MONAI
    Label assigns to the returned file; `result`, the JSON part, the pair's `report.json` and `files`, the server paths
    of all results by file name. The file is `.nii.gz` unless the request sets `result_extension`.

    Args:
        postprocessing: transforms of a pair with `pred` (3, H, W, D) that write its results to `output_dir`.
    """

    def __init__(self, *, postprocessing: Callable[[dict[Hashable, Any]], dict[Hashable, Any]]) -> None:
        self.postprocessing = postprocessing

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        pair = self.postprocessing({**data, "image": data["image"][:NUM_SCANS]})  # without the mask
        folder = Path(pair["output_dir"])
        files = {path.name: str(path) for path in sorted(folder.iterdir())}
        warped = torch.from_numpy(as_stored(pair["warped"].numpy(), np.int16))  # as in `warped.nii.gz`
        return {
            "result_extension": ".nii.gz",
            **pair,
            "pred": MetaTensor(warped, affine=pair["fixed"].affine),
            "image": pair["fixed"],
            "result": {**json.loads((folder / REPORT).read_text()), "files": files},
        }
