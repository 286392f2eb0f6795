"""Bring both scans of a pair to Hounsfield units, or refuse them."""

from __future__ import annotations

import logging
from collections.abc import Hashable, Mapping
from typing import Any

from monai.config import KeysCollection
from monai.data import MetaTensor
from monai.transforms import MapTransform

from bundle.plausibility.intensities import Intensities, alike_in_window, find_intensities
from bundle.processors import side_by_side

log = logging.getLogger(__name__)

EXPECTED = "Hounsfield units (air near -1000, soft tissue near 0 to 60)"
NOT_IN_HU = "that are not distributed as"  # part of every sign of it
MAX_ALIKE = 0.99  # of the voxels: beyond it the network sees an empty image


class HounsfieldUnitsd(MapTransform):
    """Convert scans (1, H, W, D) that hold HU + 1024 or HU + 1000, and refuse pairs that cannot be compared.

    | scans                                          | what happens                                          |
    |------------------------------------------------|-------------------------------------------------------|
    | HU, or no air in the image to tell             | unchanged                                             |
    | HU + 1024 or HU + 1000, by air and tissue      | converted, said in `warnings`                         |
    | as if HU were multiplied, or shifted otherwise | unchanged, a sign in `implausible`                    |
    | one in HU, the other in something else         | refused                                               |
    | none in HU (another modality)                  | unchanged, a sign in `implausible`                    |
    | hardly any contrast within the window          | refused: both 0..1, both 0..255, an MR as it is       |

    `warnings` are notes for the report, `implausible` are reasons to doubt the result; both are in the log too.

    Args:
        window_hu: `low` and `high` of what the network sees.
    Raises: ValueError naming the file, the range found and the one expected.
    """

    def __init__(self, keys: KeysCollection = ("fixed", "moving"), *, window_hu: Mapping[str, float]) -> None:
        super().__init__(keys)
        self.low, self.high = window_hu["low"], window_hu["high"]

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        pair = dict(data)
        keys = list(self.key_iterator(pair))
        intensities = side_by_side(find_intensities, [pair[key].as_tensor() for key in keys])
        found = dict(zip(keys, intensities, strict=True))
        _check_same_unit(pair, found)
        warnings, signs = list(pair.get("warnings") or []), list(pair.get("implausible") or [])
        for key, what in found.items():
            file = _file(pair[key], key)
            if what.scale == "offset":
                pair[key] = pair[key] - what.offset_hu
                warnings.append(
                    f"the {key} scan holds HU + {what.offset_hu:.0f} (air near {what.air:.0f}, tissue near "
                    f"{what.tissue:.0f}): {what.offset_hu:.0f} was subtracted"
                )
                log.warning("%s: %s", file, warnings[-1])
            elif what.scale in ("doubtful", "other"):
                signs.append(f"{key} scan: {what.found} {NOT_IN_HU} {EXPECTED}")
                log.warning("%s: %s; check its rescale slope and intercept", file, signs[-1])
            self._check_contrast(file, pair[key], what)
        return {**pair, "warnings": warnings, "implausible": signs}

    def _check_contrast(self, file: str, scan: MetaTensor, what: Intensities) -> None:
        alike = alike_in_window(scan.as_tensor(), self.low, self.high)
        if alike > MAX_ALIKE:
            raise ValueError(
                f"{file}: found {what.found}, expected {EXPECTED}: {alike:.1%} of the voxels look alike from "
                f"{self.low:g} to {self.high:g}, which is what the network sees; convert the scan to HU, or scale both "
                "scans of another modality to this range"
            )


def _check_same_unit(pair: Mapping[Hashable, Any], found: Mapping[Hashable, Intensities]) -> None:
    """Raises: ValueError if one scan is in HU and the other is not."""
    others = [key for key, what in found.items() if what.scale == "other"]
    if len(others) == 1:
        (key,) = others
        raise ValueError(
            f"{_file(pair[key], key)}: found {found[key].found}, expected {EXPECTED} as in the other scan of the pair; "
            "convert it to HU first"
        )


def _file(scan: MetaTensor, key: Hashable) -> str:
    return str(scan.meta.get("filename_or_obj", key))
