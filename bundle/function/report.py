"""What lung function was computed from a registered pair, and what was found, as a report and in one line."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from monai.data import MetaTensor

from bundle import __version__
from bundle.function.breath import Breath
from bundle.function.exhale import Exhale, LungSize
from bundle.function.maps import KINDS, MapKind, MapOptions
from bundle.function.measures.strain import Strain
from bundle.function.measures.ventilation import mass_factor
from bundle.function.summary import HIGH, LOW, Row, total_of
from bundle.geometry import WorldTransform

SUMMARY = "lung_function.png"
MAX_VOLUME_ERROR = 0.02  # of the volume change of the masks
DIGITS = 6


@dataclass(frozen=True, kw_only=True)
class LungPair:
    """A registered pair of chest CTs.

    Args:
        name: of the pair.
        verdict: on its registration.
        fixed, moving: (1, H, W, D) and (1, h, w, d), HU.
        fixed_mask, moving_mask: their lungs, on their grids.
        lungs: (1, H, W, D), 1 in the right lung and 2 in the left; None if not known.
        transform: fixed to moving world.
    """

    name: str
    verdict: str
    fixed: MetaTensor
    moving: MetaTensor
    fixed_mask: MetaTensor
    moving_mask: MetaTensor
    lungs: MetaTensor | None
    transform: WorldTransform


def summary_line(report: Mapping[str, Any], folder: Path) -> str:
    """What was found, in one line."""
    volumes, mass = report["volumes"], report["mass"]
    exhale = report["exhale"]
    return (
        f"{report['name']}: {report['verdict']}, exhale = {exhale['scan']} scan ({exhale['reason']})"
        f", volume change {100 * volumes['change_of_field']:.1f} % (masks {100 * volumes['change_of_masks']:.1f} %)"
        f", mass {mass['inhale_g']:.0f} g in, {mass['exhale_g']:.0f} g ex; {len(report['maps'])} maps in {folder}"
    )


def function_report(
    pair: LungPair,
    options: MapOptions,
    exhale: Exhale,
    sizes: Mapping[str, LungSize],
    rows: Sequence[Row],
    breath: Breath,
) -> dict[str, Any]:
    """What was computed, from what and how, and what to be careful about, as JSON holds it."""
    inhale_scan = "moving" if exhale.scan == "fixed" else "fixed"
    inhale, small = sizes[inhale_scan], sizes[exhale.scan]
    by_masks = (inhale.volume_ml - small.volume_ml) / small.volume_ml
    by_field = total_of(rows, "specific_volume_change")
    warnings = list(exhale.warnings)
    if pair.verdict != "ok":
        warnings.append(f"the verdict on the registration is {pair.verdict}: look at it before using these maps")
    if abs(by_field - by_masks) > MAX_VOLUME_ERROR * max(abs(by_masks), 1.0):
        warnings.append(
            f"the field changes the lung volume by {100 * by_field:.1f} %, the masks by {100 * by_masks:.1f} %"
        )
    folded = float((breath.jacobian[breath.inside] <= 0).mean())
    numbers = {
        "volumes": {
            "inhale_mask_ml": inhale.volume_ml,
            "exhale_mask_ml": small.volume_ml,
            "change_of_masks": by_masks,
            "change_of_field": by_field,
            "folded_percent": 100 * folded,
        },
        "mass": {
            "inhale_g": inhale.mass_g,
            "exhale_g": small.mass_g,
            "difference_g": small.mass_g - inhale.mass_g,
        },
    }
    if options.mass_correction and "hu_ventilation" in options.names:
        numbers["mass"]["inhale_factor"] = mass_factor(breath)
    return {
        "name": pair.name,
        "verdict": pair.verdict,
        "version": __version__,
        "exhale": {"scan": exhale.scan, "reason": exhale.reason},
        "grid": "fixed",
        "direction": "exhale to inhale, whichever scan is fixed",
        "smoothing": f"Gaussian, sigma {options.smooth_mm:g} mm, within the lungs, before the formula",
        "low_and_high": f"below {LOW:g} and above {HIGH:g} times the mean of both lungs",
        "settings": asdict(options) | {"maps": options.names},
        "maps": _maps(options, exhale),
        "figures": _figures(options, exhale),
        **{name: {key: _plain(value) for key, value in part.items()} for name, part in numbers.items()},
        "warnings": warnings,
    }


def _maps(options: MapOptions, exhale: Exhale) -> list[dict[str, str]]:
    return [
        {
            "name": kind.name,
            "file": options.file_of(kind),
            "title": kind.title,
            "unit": kind.unit,
            "header": options.header_of(kind, exhale.scan),
        }
        for kind in _kinds(options)
    ]


def _kinds(options: MapOptions) -> list[MapKind]:
    parts = {"strain": Strain._fields}
    return [KINDS[part] for name in options.names for part in parts.get(name, (name,))]


def _figures(options: MapOptions, exhale: Exhale) -> list[dict[str, str]]:
    direction = f"exhale to inhale, exhale = {exhale.scan} scan"
    figures = [{"title": "Lung function", "file": SUMMARY, "caption": "All maps in one coronal slice."}]
    for kind in _kinds(options):
        what = f"{kind.formula}; unit {kind.unit}"
        if kind.name == "prm":
            limits = options.thresholds
            what = f"classes by {limits.inhale_hu:g} HU at inhale and {limits.exhale_hu:g} HU at exhale"
        figures.append(
            {
                "title": kind.title,
                "file": options.file_of(kind).replace(".nii.gz", ".png"),
                "caption": f"{what}; {direction}; {options.smoothing_of(kind)}.",
            }
        )
    return figures


def _plain(value: float) -> float | None:
    return None if math.isnan(value) else float(f"{value:.{DIGITS}g}")
