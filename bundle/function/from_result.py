"""Lung function of a result folder, and of a pair that is being registered."""

from __future__ import annotations

import logging
import shutil
from collections.abc import Hashable, Mapping, Sequence
from pathlib import Path
from typing import Any

from monai.data import MetaTensor
from monai.transforms import Transform

from bundle.data import FUNCTION_FOLDER, ResultFolder
from bundle.function.maps import DEFAULT_SMOOTH_MM, MapOptions
from bundle.function.report import LungPair, summary_line
from bundle.function.write import write_lung_function
from bundle.lung import find_lungs
from bundle.plausibility import NOT_IN_HU
from bundle.processors import side_by_side
from bundle.transforms import world_transform

log = logging.getLogger(__name__)


def lung_pair(result: ResultFolder) -> LungPair:
    """The pair of a result folder.

    Raises: ValueError if the registration failed, a scan has no lungs, or a scan is not in HU.
    """
    result.refuse_failed()
    side_by_side(lambda part: getattr(result, part), ["fixed", "field"])  # both take seconds to read
    _check(str(result.folder), result.signs, {key: result.lungs_found[key] for key in ("fixed", "moving")})
    return LungPair(
        name=result.name,
        verdict=result.verdict,
        fixed=result.fixed,
        moving=result.moving,
        fixed_mask=result.fixed_mask,
        moving_mask=result.moving_mask,
        lungs=result.fixed_lungs,
        transform=result.field,
    )


class LungFunctionScansd(Transform):
    """Refuse pairs that have no maps of lung function, before they are registered; after `LungRegiond`.

    Args:
        maps: as of `LungFunctiond`; without maps every pair passes.
    Raises: ValueError if a scan has no lungs or is not in HU.
    """

    def __init__(self, *, maps: Sequence[str] | str = ()) -> None:
        self.maps = maps

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        pair = dict(data)
        if self.maps:
            _check_pair(pair)
        return pair


class LungFunctiond(Transform):
    """Write maps of lung function to `lung_function` in the pair's `output_dir`; nothing unless maps are named.

    Before `SaveRegistrationd`, whose report completes the folder. Maps of an earlier registration are removed. A failed
    registration gives none, with a warning.

    Args:
        maps: see `MapOptions`; none by default.
        smooth_mm: see `MapOptions`.
    Raises: ValueError for an unknown map; at the pair, if a scan has no lungs or is not in HU (`LungFunctionScansd`
        says so before the registration).
    """

    def __init__(self, *, maps: Sequence[str] | str = (), smooth_mm: float = DEFAULT_SMOOTH_MM) -> None:
        self.options = MapOptions(maps=maps, smooth_mm=smooth_mm) if maps else None

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        pair = dict(data)
        folder = Path(pair["output_dir"]) / FUNCTION_FOLDER
        shutil.rmtree(folder, ignore_errors=True)
        if self.options is None:
            return pair
        name, verdict = pair["name"], pair["verdict"].level
        if verdict == "failed":
            log.warning("%s: the registration failed: no maps of lung function", name)
            return pair
        _check_pair(pair)
        mask = pair["fixed_mask"]
        lungs = find_lungs(pair["fixed"])
        labels = None if lungs is None else lungs.as_tensor() * (mask.as_tensor() > 0)
        registered = LungPair(
            name=name,
            verdict=verdict,
            fixed=pair["fixed"],
            moving=pair["moving"],
            fixed_mask=mask,
            moving_mask=pair["moving_mask"],
            lungs=None if labels is None else MetaTensor(labels, affine=mask.affine),
            transform=world_transform(pair),
        )
        report = write_lung_function(folder, registered, self.options)
        log.info("%s", summary_line(report, folder))
        return pair


def _check_pair(pair: Mapping[Hashable, Any]) -> None:
    found = {key: bool(pair[f"{key}_lungs_found"]) for key in ("fixed", "moving")}
    _check(pair["name"], pair.get("implausible") or [], found)


def _check(name: str, signs: Sequence[str], lungs_found: Mapping[str, bool]) -> None:
    """Raises: ValueError naming what is missing."""
    not_in_hu = [sign for sign in signs if NOT_IN_HU in sign]
    if not_in_hu:
        raise ValueError(f"{name}: lung function needs scans in HU: {not_in_hu[0]}")
    missing = [key for key, found in lungs_found.items() if not found]
    if missing:
        raise ValueError(f"{name}: lung function needs the lungs of both scans; none found in: {', '.join(missing)}")
