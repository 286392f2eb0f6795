"""Statistics of maps over regions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields

import numpy as np
from numpy.typing import NDArray

from bundle.function.breath import Breath, Values
from bundle.function.maps import MapKind
from bundle.function.measures.air import density_g_per_l
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
    numbers, places = _histogram(values, kind.step)
    mean = _statistics(numbers, _weights_of(places, volumes, len(numbers)))["mean"] if kind.is_ventilation else None
    rows = []
    for name, region in regions.items():
        weights = _weights_of(places[region], volumes[region], len(numbers))
        statistics = _statistics(numbers, weights)
        if mean is not None and mean > 0 and weights.any():
            for column, part in (("low_percent", numbers < LOW * mean), ("high_percent", numbers > HIGH * mean)):
                statistics[column] = 100 * _sum(weights[part]) / _sum(weights)
        statistics["defined_percent"] = 100 * _sum(weights) / max(_sum(volumes[region]), 1e-9)
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


def _histogram(values: NDArray, step: float) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Centres of bins of width `step`, to which values are rounded, and the bin of each value; -1 of NaN."""
    defined = np.isfinite(values)
    if not defined.any():
        return np.zeros(1), np.full(len(values), -1)
    bins = np.where(defined, np.rint(np.where(defined, values, 0) / step), 0).astype(np.int64)
    low, high = int(bins[defined].min()), int(bins[defined].max())
    numbers: NDArray[np.float64] = np.arange(low, high + 1, dtype=np.float64) * step
    return numbers, np.where(defined, bins - low, np.int64(-1))


def _weights_of(places: NDArray[np.int64], volumes: Values, count: int) -> NDArray[np.float64]:
    """Volume in each of `count` bins."""
    return np.bincount(places + 1, weights=volumes, minlength=count + 1)[1:].astype(np.float64)


def _statistics(numbers: NDArray[np.float64], weights: NDArray[np.float64]) -> dict[str, float | None]:
    """Weighted statistics of a histogram; percentiles are the values at which the weight below reaches each share."""
    total = _sum(weights)
    if total <= 0:
        return dict.fromkeys(("mean", "sd", "median", "p5", "p95", "cv"))
    mean = float(numbers @ weights) / total
    sd = float(np.sqrt((numbers - mean) ** 2 @ weights / total))
    places = np.searchsorted(np.cumsum(weights), np.array(PERCENTILES) / 100 * total)
    p5, median, p95 = (float(value) for value in numbers[np.minimum(places, len(numbers) - 1)])
    return {"mean": mean, "sd": sd, "median": median, "p5": p5, "p95": p95, "cv": sd / mean if mean else None}


def _sum(values: NDArray) -> float:
    return float(values.sum(dtype=np.float64))


def _cell(value: str | float | None) -> str:
    if value is None:
        return ""
    return value if isinstance(value, str) else f"{value:.{DIGITS}g}"
