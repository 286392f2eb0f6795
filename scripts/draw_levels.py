"""Draw the network's predictions level by level (Figs. 3 and 4 of He et al. 2021, arXiv:2106.07608)."""

from __future__ import annotations

import logging
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

sys.path.insert(0, str(Path(__file__).absolute().parents[1]))  # run as a file, from any folder

from scripts.cli import run

if TYPE_CHECKING:
    from bundle.networks import RRN

CONFIG = Path(__file__).absolute().parents[1] / "configs" / "inference.json"
log = logging.getLogger(__name__)


def draw_levels(
    fixed: str,
    moving: str,
    output_dir: str,
    config: str = str(CONFIG),
    model: str | None = None,
) -> None:
    """Write levels.png (field of each level) and warped.png (fixed, moving, warped) of a pair to OUTPUT_DIR.

    Args:
        fixed: inhale scan, any format the inference reads.
        moving: exhale scan.
        output_dir: folder, created if missing.
        config: source of `preprocessing` and `network_def`.
        model: weights file with its recipe beside it; default: `weights` of the config.
    """
    import torch

    from bundle.data import PairFiles, config_with, make_pair
    from bundle.io import check_weights

    parser = config_with(config, {"weights": model})
    weights, recipe = (parser.get_parsed_content(name) for name in ("weights", "recipe"))
    state = torch.load(weights, map_location="cpu", weights_only=True)
    check_weights(weights, state)
    if recipe.network_spacing_mm is not None:
        parser.update({"spacing_mm": recipe.network_spacing_mm})  # the pictures show the network's own grid
    item = make_pair(PairFiles(fixed=fixed, moving=moving))
    pair = parser.get_parsed_content("preprocessing")(item)
    network = parser.get_parsed_content("network_def")
    network.load_state_dict(state)
    folder = Path(output_dir)
    folder.mkdir(parents=True, exist_ok=True)
    draw_pair(pair, network.cpu().eval(), folder)
    log.info("%s: levels.png and warped.png", folder)


def draw_pair(pair: dict[str, Any], network: RRN, folder: Path) -> None:
    """Draw one preprocessed pair.

    Args:
        pair: `image` (2, H, W, D), `mask_net`, `grid_to_fixed`, `grid_to_moving` of the network grid; `fixed`, `moving`
            and `fixed_mask` on their own grids.
        network: in evaluation mode.
        folder: existing.
    """
    import torch

    from bundle.geometry import WorldTransform
    from bundle.reports.levels import draw_level_fields, draw_warped_scans
    from bundle.transforms import warp_to_fixed

    fixed = pair["fixed"]
    with torch.inference_mode():
        levels = network.forward_levels(torch.as_tensor(pair["image"])[None].float())
    draw_level_fields(
        folder / "levels.png",
        levels_vox=[ddf_vox[0] for ddf_vox in levels],
        affine=pair["grid_to_fixed"],
        mask=pair["mask_net"][0] > 0.5,  # interpolated mask
    )
    transform = WorldTransform(levels[-1], pair["grid_to_fixed"], pair["grid_to_moving"])
    scans = {
        "fixed": fixed[0],
        "moving, aligned": warp_to_fixed(pair["moving"], transform.affine_only, fixed)[0],
        "warped": warp_to_fixed(pair["moving"], transform, fixed)[0],
    }
    draw_warped_scans(folder / "warped.png", scans_hu=scans, affine=fixed.affine, mask=pair["fixed_mask"][0])


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    run(draw_levels, old_names={"out": "output_dir"})
