"""All figures of a report in words: what each one means, what is good, and whether this one is."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, NamedTuple

from bundle.quality import RULES

State = Literal["good", "check", "failed", "not measured", "for information"]
STATES: tuple[State, ...] = ("failed", "check", "not measured", "good", "for information")


class Words(NamedTuple):
    """How a figure is shown: its format, which may scale it, and what it means."""

    label: str
    format: str
    meaning: str


class Figure(NamedTuple):
    """A row of the table."""

    label: str
    value: str
    good: str
    state: State
    meaning: str


WORDS = {
    "vessel_residual_mm": Words(
        "vessel residual, 75th percentile",
        "{:.1f} mm",
        "Distance between a vessel of the fixed scan and its best match in the warped scan. A quarter of the vessels "
        "is farther. Block matching, no landmarks.",
    ),
    "vessels_matched": Words(
        "vessels matched", "{:.0%}", "Share of the vessels whose best match lies within 4 mm and looks alike."
    ),
    "lncc": Words(
        "LNCC after registration",
        "{:.3f}",
        "Squared local correlation of fixed and warped scan in the lungs; 1: equal.",
    ),
    "lncc_gain": Words("gain of LNCC", "{:+.3f}", "LNCC after registration minus LNCC after the initial alignment."),
    "lung_overlap": Words("overlap of the lungs", "{:.3f}", "Dice of the fixed lungs and the warped moving lungs."),
    "lungs_covered": Words(
        "lungs covered", "{:.1%}", "Share of the fixed lungs that has a counterpart inside the moving scan."
    ),
    "inverse_consistency_mm": Words(
        "inverse consistency, 95th percentile",
        "{:.3f} mm",
        "Distance by which a point of the lungs misses itself after the transform and its inverse.",
    ),
    "folding_percent": Words(
        "folding",
        "{:.3f} %",
        "Share of the lungs where the Jacobian determinant is 0 or less: tissue turned inside out.",
    ),
    "displacement_mm": Words(
        "displacement, 99th percentile",
        "{:.1f} mm",
        "Motion in the lungs that the field adds to the initial alignment.",
    ),
    "volume_ratio": Words("lung volume, moving / fixed", "{:.2f}", "Below 1 if the moving scan is the exhale scan."),
    "mass_ratio": Words(
        "lung mass, moving / fixed", "{:.2f}", "From the densities; breathing keeps the mass, so near 1 is expected."
    ),
    "scale_change": Words("scale of the initial alignment", "{:.2f}", "Largest factor by which it changes a length."),
    "rotation_deg": Words("rotation of the initial alignment", "{:.1f}°", "Its angle."),
    "lungs_missing": Words(
        "scans without lungs", "{:.0f}", "Scans in which no lung was found; the whole image counts."
    ),
}
SCORE_WORDS = {
    "tre_none_mm": Words("TRE without registration", "{:.2f} mm", "Mean distance of the landmarks before anything."),
    "tre_aligned_mm": Words("TRE after the initial alignment", "{:.2f} mm", "Mean distance after the affine alone."),
    "tre_mm": Words(
        "TRE after registration, mean", "{:.2f} mm", "Target registration error: distance to the landmark."
    ),
    "tre_std_mm": Words("TRE, standard deviation", "{:.2f} mm", "Over the landmarks."),
    "tre_median_mm": Words("TRE, median", "{:.2f} mm", "Half of the landmarks is nearer."),
    "tre_p95_mm": Words("TRE, 95th percentile", "{:.2f} mm", "One landmark in twenty is farther."),
    "tre_max_mm": Words("TRE, largest", "{:.2f} mm", "The worst landmark; it may be a wrong landmark."),
    "snapped_tre_mm": Words("TRE, snapped, mean", "{:.2f} mm", "Mapped points rounded to voxels of the moving scan."),
    "sd_log_jacobian": Words("SDlogJ", "{:.3f}", "Standard deviation of the log Jacobian: roughness of the field."),
    "time_s": Words("time", "{:.1f} s", "From loading to the scores."),
}


def figures(report: Mapping[str, Any]) -> list[Figure]:
    """The rows of a report (`registration_report`): those with limits first, the worst of them on top."""
    evidence = report["evidence"]
    judged = [_judged(name, evidence[name]) for name in WORDS]
    known = [
        Figure(words.label, words.format.format(report["scores"][name]), "", "for information", words.meaning)
        for name, words in SCORE_WORDS.items()
        if report["scores"][name] is not None
    ]
    aligned = report["lncc"]["aligned"]
    if aligned is not None:
        meaning = "Squared local correlation of fixed and moving scan before the field."
        known.insert(0, Figure("LNCC after the initial alignment", f"{aligned:.3f}", "", "for information", meaning))
    return sorted(judged, key=lambda figure: STATES.index(figure.state)) + known


def _judged(name: str, value: float | None) -> Figure:
    """A figure with the limits of `bundle.quality.RULES`, which `bundle.quality.judge` applies as well."""
    words = WORDS[name]
    rules = [rule for rule in RULES if rule.name == name]
    good = " and ".join(
        f"{'at most' if rule.is_high_bad else 'at least'} {words.format.format(rule.check)}"
        for rule in sorted(rules, key=lambda rule: rule.is_high_bad)
    )
    if name == "lungs_missing":
        good = words.format.format(0)
    if value is None:
        return Figure(words.label, "–", good, "not measured", words.meaning)
    levels = [rule.level(value) for rule in rules]
    state: State = "failed" if "failed" in levels else "check" if "check" in levels else "good"
    return Figure(words.label, words.format.format(value), good, state, words.meaning)
