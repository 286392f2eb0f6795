"""Statistics of maps over regions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields

import numpy as np
from numpy.typing import NDArray

from bundle.function.breath import Breath, Values
from bundle.function.maps import MapKind
from bundle.function.measures.density import density_g_per_l
from bundle.function.measures.response import shares_percent
from bundle.function.regions import TOTAL, Region

LOW, HIGH = 0.5, 1.5  # times the mean of both lungs
PERCENTILES = (5.0, 50.0, 95.0)
DIGITS = 6


@dataclass(frozen=True, kw_only=True)
class Row:
    """One quantity in one region.

    Args:
        region, map, unit: see `bundle.function.regions`, `bundle.function.maps`.
        weight: what weights a voxel in the statistics: its volume at inhale or exhale.
        smooth_mm: sigma of the Gaussian.
        total: of a quantity of the region as a whole, from unsmoothed values; of a map of the volume change the change
            of the region's volume.
        mean, sd, median, p5, p95, cv: weighted statistics of the map; cv = sd / mean.
        low_percent, high_percent: share of the volume below `LOW` and above `HIGH` times the mean of both lungs.
        defined_percent: share of the region's volume where the map is defined.
    """

    region: str
    map: str
    unit: str
    weight: str = ""
    smooth_mm: float | None = None
    total: float | None = None
    mean: float | None = None
    sd: float | None = None
    median: float | None = None
    p5: float | None = None
    p95: float | None = None
    cv: float | None = None
    low_percent: float | None = None
    high_percent: float | None = None
    defined_percent: float | None = None


HEADER = [column.name for column in fields(Row)]


def region_totals(breath: Breath, regions: Mapping[str, Region]) -> list[Row]:
    """Volumes and masses of each region at inhale and exhale, from the field, and what follows from them."""
    density = {
        "inhale": density_g_per_l(breath.inhale_hu[breath.inside]) * breath.inhale_ml / 1000,
        "exhale": density_g_per_l(breath.exhale_hu[breath.inside]) * breath.exhale_ml / 1000,
    }
    rows = []
    for name, region in regions.items():
        inhale_ml, exhale_ml = _sum(breath.inhale_ml[region]), _sum(breath.exhale_ml[region])
        inhale_g, exhale_g = _sum(density["inhale"][region]), _sum(density["exhale"][region])
        rows += [
            Row(region=name, map="inhale_volume", unit="ml", total=inhale_ml),
            Row(region=name, map="exhale_volume", unit="ml", total=exhale_ml),
            Row(region=name, map="specific_volume_change", unit="1", total=(inhale_ml - exhale_ml) / exhale_ml),
            Row(region=name, map="inhale_mass", unit="g", total=inhale_g),
            Row(region=name, map="exhale_mass", unit="g", total=exhale_g),
            Row(region=name, map="mass_difference", unit="g", total=exhale_g - inhale_g),
        ]
    return rows


def map_rows(
    kind: MapKind, values: NDArray, breath: Breath, regions: Mapping[str, Region], smooth_mm: float
) -> list[Row]:
    """The rows of one map: a row a region, or for the response map a row a class."""
    volumes = breath.inhale_ml if kind.weight == "inhale" else breath.exhale_ml
    if kind.name == "prm":
        return [
            Row(region=name, map=f"prm_{label}", unit="%", weight=f"{kind.weight} volume", total=share)
            for name, region in regions.items()
            for label, share in shares_percent(values[region], volumes[region]).items()
        ]
    mean = _statistics(values, volumes)["mean"] if kind.is_ventilation else None
    rows = []
    for name, region in regions.items():
        inside, weights = values[region], volumes[region]
        defined = np.isfinite(inside)
        statistics = _statistics(inside, weights)
        if mean is not None and mean > 0 and defined.any():
            limits = (inside < LOW * mean, inside > HIGH * mean)
            low, high = (100 * _sum(weights[part & defined]) / _sum(weights[defined]) for part in limits)
            statistics |= {"low_percent": low, "high_percent": high}
        statistics["defined_percent"] = 100 * _sum(weights[defined]) / max(_sum(weights), 1e-9)
        weight = f"{kind.weight} volume"
        rows.append(Row(region=name, map=kind.name, unit=kind.unit, weight=weight, smooth_mm=smooth_mm, **statistics))
    return rows


def to_csv(rows: Sequence[Row]) -> str:
    """The rows as a table, numbers of six digits; a cell without a value is empty."""
    lines = [",".join(HEADER)]
    for row in rows:
        lines.append(",".join(_cell(value) for value in asdict(row).values()))
    return "\n".join(lines) + "\n"


def total_of(rows: Sequence[Row], name: str, region: str = TOTAL) -> float:
    """The total of a quantity in a region."""
    (value,) = [row.total for row in rows if row.map == name and row.region == region]
    assert value is not None
    return value


def _statistics(values: NDArray, weights: Values) -> dict[str, float | None]:
    defined = np.isfinite(values) & (weights > 0)
    kept, kept_weights = values[defined].astype(np.float64), weights[defined].astype(np.float64)
    if len(kept) == 0:
        return dict.fromkeys(("mean", "sd", "median", "p5", "p95", "cv"))
    mean = float(np.average(kept, weights=kept_weights))
    sd = float(np.sqrt(np.average((kept - mean) ** 2, weights=kept_weights)))
    p5, median, p95 = _percentiles(kept, kept_weights)
    return {"mean": mean, "sd": sd, "median": median, "p5": p5, "p95": p95, "cv": sd / mean if mean else None}


def _percentiles(values: NDArray[np.float64], weights: NDArray[np.float64]) -> list[float]:
    """Weighted percentiles: the values at which the weight below reaches each share."""
    order = np.argsort(values)
    below = np.cumsum(weights[order])
    places = np.searchsorted(below, np.array(PERCENTILES) / 100 * below[-1])
    return [float(value) for value in values[order][np.minimum(places, len(values) - 1)]]


def _sum(values: NDArray) -> float:
    return float(values.sum(dtype=np.float64))


def _cell(value: str | float | None) -> str:
    if value is None:
        return ""
    return value if isinstance(value, str) else f"{value:.{DIGITS}g}"
