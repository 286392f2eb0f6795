"""Result folders of pairs whose transform is known: everything that registration does, without the network."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from monai.transforms import Compose
from torch import Tensor

from bundle.data import PairFiles, pairs_to_register
from bundle.geometry import apply_affine, identity_vox, jacobian_determinant
from bundle.io import ImageHeader
from bundle.lung import LungRegiond
from bundle.plausibility import HounsfieldUnitsd
from bundle.quality import Evidence, Verdict
from bundle.reports import SaveRegistrationd
from bundle.transforms import (
    CheckScand,
    ContentHashd,
    FitMasksd,
    LoadImageSeriesd,
    MapLandmarksd,
    ReadLandmarksd,
    ResultsOnNativeGridsd,
    put_on_grid,
)
from tests.conftest import SyntheticPair
from tests.recipes import make_recipe

SCANS = ("fixed", "moving")
MARGIN_MM = 20.0

Motion = Callable[[Tensor], Tensor]


def write_result(
    folder: Path, files: PairFiles, motion: Motion, *, spacing_mm: float = 6.0, verdict: str = "ok"
) -> Path:
    """Write the result folder of a pair whose transform is `motion`.

    Args:
        motion: fixed to moving points (N, 3), RAS mm, float64.
        spacing_mm: of the grid that carries the field, which is parallel to the patient's axes.
        verdict: level of the verdict.
    """
    (item,) = pairs_to_register(output_dir=folder, pair=files)
    read = Compose(
        [
            LoadImageSeriesd([*SCANS, "fixed_mask", "moving_mask"], allow_missing_keys=True),
            CheckScand(SCANS),
            HounsfieldUnitsd(SCANS, window_hu=make_recipe().window_hu),
            FitMasksd(SCANS),
            ContentHashd(SCANS),
            ReadLandmarksd(SCANS),
            LungRegiond(SCANS),
        ]
    )
    pair: dict[str, Any] = read(item)
    pair |= field_of(motion, ImageHeader.of(pair["fixed"]), spacing_mm)
    pair = ResultsOnNativeGridsd()(MapLandmarksd()(pair))
    pair |= {
        "jacobian_net": jacobian_determinant(pair["pred"], torch.eye(4))[None],
        "mask_net": put_on_grid(pair["fixed_mask"], pair["pred"].shape[1:], pair["grid_to_fixed"]).as_tensor(),
        "moving_affine": pair["moving"].affine,
        "initial_affine": torch.eye(4),
        "lncc_aligned": 0.5,
        "lncc_registered": 0.9,
        "folding_percent": 0.0,
        "sd_log_jacobian": 0.1,
        "time_s": 1.0,
        "seconds_by_step": {"Network": 1.0},
        "evidence": Evidence(),
        "verdict": Verdict(verdict, () if verdict == "ok" else ("a reason",)),  # type: ignore[arg-type]
    }
    weights = folder.parent / "model.pt"
    weights.write_bytes(b"weights")
    SaveRegistrationd(weights=weights, recipe=make_recipe(), settings={"refine": "field"})(pair)
    return folder


def write_result_of(pair: SyntheticPair, folder: Path) -> tuple[SyntheticPair, Path]:
    """A pair and its result folder: the ground truth is its transform, its masks and landmarks were given."""
    files = PairFiles(**{key: path for key, path in pair.item.items() if key not in ("name", "initial_transform")})
    return pair, write_result(folder, files, lambda points: apply_affine(pair.truth, points))


def field_of(motion: Motion, scan: ImageHeader, spacing_mm: float) -> dict[str, Tensor]:
    """`pred` (3, h, w, d) and both affines of its grid, which covers a scan with a margin."""
    low = scan.corners_mm.amin(dim=0) - MARGIN_MM
    shape = ((scan.corners_mm.amax(dim=0) + MARGIN_MM - low) / spacing_mm).ceil().long() + 1
    grid = torch.eye(4, dtype=torch.float64)
    grid[:3, :3] *= spacing_mm
    grid[:3, 3] = low
    points_vox = identity_vox(shape.tolist(), torch.zeros(1)).double().view(3, -1).T
    ddf_vox = (motion(apply_affine(grid, points_vox)) - low) / spacing_mm - points_vox
    return {
        "pred": ddf_vox.T.reshape(3, *shape.tolist()).float(),
        "grid_to_fixed": grid,
        "grid_to_moving": grid.clone(),
    }
