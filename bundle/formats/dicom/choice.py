"""Choose one series of several, and one phase of a series."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from pathlib import Path

from bundle.formats.dicom.frames import Frame, label_of
from bundle.formats.dicom.series import Series

OPTIONS = "--fixed_series or --moving_series"
UID_PATTERN = r"\d+(\.\d+){3,}"


def choose_series(
    path: str | Path, all_series: Sequence[Series], choice: str | None = None, *, option: str = OPTIONS
) -> Series:
    """The only volume that matches the choice, or without one the only volume; CT goes before other modalities.

    Args:
        option: name of the option that chooses, for errors.
    Raises: ValueError with a line for each series, or naming a damaged file of the chosen one.
    """
    pattern = split_choice(choice, [text for series in all_series for text in series.descriptions])[0]
    matching, reason = _matching(pattern, all_series)
    found = [series for series in matching if series.modality == "CT"] or matching
    if len(found) == 1:
        if found[0].fault:
            raise ValueError(found[0].fault)
        return found[0]
    listing = "\n".join(f"  {series}" for series in all_series)
    hint = f"choose one by a UID or a regular expression on the description ({option})"
    if pattern:
        raise ValueError(
            f"{path}: expected one volume for series {pattern!r}, found {len(found)}{reason}; {hint}:\n{listing}"
        )
    if not found:
        folder = "" if Path(path).is_dir() else "; give the folder with all slices"
        raise ValueError(f"{path}: expected a volume of two or more slices{folder}, found:\n{listing}")
    raise ValueError(f"{path}: expected one {found[0].modality} series, found {len(found)}; {hint}:\n{listing}")


def series_matching(choice: str | None, all_series: Sequence[Series]) -> list[Series]:
    """The volumes that match a choice, or without one all; CT goes before other modalities."""
    pattern = split_choice(choice, [text for series in all_series for text in series.descriptions])[0]
    matching = _matching(pattern, all_series)[0]
    return [series for series in matching if series.modality == "CT"] or matching


def choose_phase(
    path: str | Path, series: Series, choice: str | None = None, *, option: str = OPTIONS
) -> tuple[str, list[Frame]]:
    """Name and frames of the chosen phase, or of the only one, whose name is empty.

    Raises: ValueError naming the phases.
    """
    name = split_choice(choice, series.descriptions)[1]
    attribute, by_name = series.phases
    title = f"{path}: series {series.uid} {series.description!r}"
    if not attribute:
        if name:
            raise ValueError(f"{title} has one phase: expected no phase in the choice, found {name!r}")
        return "", by_name[""]
    found = [phase for phase in by_name if name and _plain(phase) == _plain(name)]
    if len(found) == 1:
        return found[0], by_name[found[0]]
    what = f"found {name!r}" if name else f"found none: choose one by '{series.uid}#NAME' ({option})"
    raise ValueError(f"{title} has {len(by_name)} phases by {attribute}: expected one of {series.phases.names}, {what}")


def split_choice(choice: str | None, descriptions: Iterable[str]) -> tuple[str, str]:
    """Pattern of the series and name of the phase; either may be empty. A description may hold the separator."""
    text = _plain_text(choice or "").strip()
    known = [_plain_text(description).casefold() for description in descriptions]
    ends = [len(text), *(found.start() for found in re.finditer("#", text))]
    for end in sorted(ends, reverse=True):
        part = text[:end].strip()
        if part and not part.startswith("#") and any(part.casefold() in description for description in known):
            return part, text[end + 1 :].strip()
    pattern, _, phase = text.partition("#")
    return pattern.strip(), phase.strip()


def _matching(pattern: str, all_series: Sequence[Series]) -> tuple[list[Series], str]:
    """Volumes of a UID, else of a description, else with it as a part, else with the regular expression in it.

    A text that is part of a description is no regular expression, though it could be one: "C+" also occurs in "CC". The
    second item says why a pattern is no regular expression either.
    """
    volumes = [series for series in all_series if not series.not_a_volume]
    by_uid = [series for series in volumes if series.uid == pattern]
    if not pattern or by_uid or re.fullmatch(UID_PATTERN, pattern):
        return by_uid if pattern else volumes, ""
    wanted = pattern.casefold()
    equal = [series for series in volumes if wanted in _texts(series)]
    parts = [series for series in all_series if any(wanted in text for text in _texts(series))]
    if parts:
        return equal or [series for series in parts if not series.not_a_volume], ""
    try:
        expression = re.compile(pattern, re.IGNORECASE)
    except (re.error, OverflowError, RecursionError) as error:
        return [], f" (nor is it a regular expression: {error})"
    return [series for series in volumes if any(map(expression.search, series.descriptions))], ""


def _texts(series: Series) -> list[str]:
    return [_plain_text(description).casefold() for description in series.descriptions]


def _plain_text(text: str) -> str:
    return text.replace("::", "#")  # MONAI's ConfigParser turns "#" into "::"


def _plain(phase: str) -> str:
    """Name of a phase without the case of its letters and a percent sign: "00.0 %" is "0"."""
    return label_of(_plain_text(phase).strip().strip("'").removesuffix("%").strip()).casefold()
