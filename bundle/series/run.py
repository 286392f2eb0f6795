"""Register a series of scans to one of them, and write what follows for the whole series."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from monai.data import MetaTensor
from tqdm import tqdm

from bundle import __version__
from bundle.data import read_world_transform
from bundle.io import (
    ImageHeader,
    atomic_path,
    check_header,
    make_folder,
    read_landmarks,
)
from bundle.io.atomic import locked_folder
from bundle.lung import find_lungs, volume_ml
from bundle.refusals import reason_of
from bundle.series.fields import identity_like
from bundle.series.labels import check_inside, read_label_map
from bundle.series.members import DIRECT, Member
from bundle.series.order import nearest_mean, neighbours, outwards, spread
from bundle.series.registration import OWN_ALIGNMENT, TRANSFORM, Outcome, SeriesRegistration, read, register_members
from bundle.series.results import RESULTS, Series, displacement_figures, write_motion, write_volumes
from bundle.series.trajectory import write_table
from bundle.series.transitivity import summarize_transitivity
from bundle.series.volumes import DEFINITIONS

log = logging.getLogger(__name__)

REPORT, TABLE = "series.json", "series.csv"
TABLE_COLUMNS = ("member", "verdict", "reasons", "started_from", "mean_mm", "p95_mm", "lung_volume_ml")
LUNGS = {1: "right lung", 2: "left lung"}


def register_series(
    members: Sequence[Member],
    output_dir: str | Path,
    *,
    reference: str | None = None,
    landmarks: str | Path | None = None,
    landmark_system: str | None = None,
    labels: str | Path | None = None,
    transitivity: int = 2,
    overwrite: bool = False,
    options: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Register every member of a series to its reference; results as `scripts.register_series` describes them.

    Args:
        members: in the order of the cycle; see `members_of_files` and `members_of_dicom`.
        output_dir: folder for the results, created if missing; one folder for each member in it.
        reference: name of the member that the others are registered to; None for the one nearest the mean lung volume.
        landmarks: file with points of the reference.
        landmark_system: coordinates of a landmark file that states none.
        labels: label map in the world of the reference, on any grid; its lungs if None.
        transitivity: how many pairs of neighbours are registered directly as well, to compare.
        overwrite: also register the finished members.
        options: ids of `configs/inference.json` with other values.
    Returns: the content of series.json.
    Raises: FileNotFoundError, ValueError: what is wrong with which input; ValueError if no member can be registered.
    """
    names = [member.name for member in members]
    if reference is not None and reference not in names:
        raise ValueError(f"--reference: expected one of {', '.join(names)}, got {reference!r}")
    if transitivity < 0:
        raise ValueError(f"--transitivity: expected a number of pairs, 0 or more, got {transitivity}")
    folder = Path(output_dir)
    registration = SeriesRegistration(options or {}, overwrite=overwrite)
    candidates = members if reference is None else [members[names.index(reference)]]
    given = None if labels is None else read_label_map(labels)
    if given is not None:
        _of_any(candidates, lambda header: check_inside(str(labels), given, header))
    if landmarks is not None:
        _of_any(candidates, lambda header: read_landmarks(landmarks, header, system=landmark_system))
    make_folder(folder)
    with locked_folder(folder):  # a second run waits, and then skips what the first one has finished
        volumes_ml = {} if reference is not None else lung_volumes_ml(members)
        chosen = nearest_mean(volumes_ml) if reference is None else reference
        log.info("%s: the reference is %s", folder, chosen)
        number = names.index(chosen)
        scan = read(members[number])
        points = None if landmarks is None else read_landmarks(landmarks, ImageHeader.of(scan), system=landmark_system)
        if given is not None:
            check_inside(str(labels), given, ImageHeader.of(scan))
        lungs = find_lungs(scan)
        label_map = lungs if given is None else given
        if lungs is None:
            lungs = MetaTensor(torch.ones(scan.shape, dtype=torch.uint8), affine=scan.affine)

        for name in (REPORT, TABLE, *RESULTS):  # the report first: its presence means that the folder is complete
            (folder / name).unlink(missing_ok=True)
        outcome = register_members(registration, members, number, outwards(len(members), number), folder)
        usable = [member for member in members if member.name == chosen or _is_usable(outcome, member.name)]
        if len(usable) < 2:
            raise ValueError(f"{folder}: no member could be registered to {chosen}: {_reasons(outcome)}")
        found = {
            member.name: read_world_transform(folder / member.name / TRANSFORM)
            for member in usable
            if member.name != chosen
        }
        own = identity_like(next(iter(found.values())))
        transforms = {member.name: found.get(member.name, own) for member in usable}
        series = Series(usable, transforms, [member.name for member in usable].index(chosen), scan, lungs)

        amplitude = write_motion(folder, series, points, label_map, LUNGS if labels is None else {})
        write_volumes(folder, series)
        compared, not_compared = register_neighbours(registration, series, transitivity, folder)
        report = {
            "reference": chosen,
            "reference_chosen_by": "name" if reference is not None else "lung volume nearest the mean",
            "lung_volumes_ml": {name: round(volume, 1) for name, volume in volumes_ml.items()},
            "members": {name: _member_report(name, outcome, chosen) for name in names},
            "failed": outcome.failed,
            "displacement_in_lungs": displacement_figures(series),
            "amplitude_in_lungs": amplitude,
            "transitivity": summarize_transitivity(compared, transforms, lungs) | {"not_compared": not_compared},
            "volumes": DEFINITIONS,
            "settings": registration.settings,
            "version": __version__,
        }
        _write_table(folder, report)
        with atomic_path(folder / REPORT) as path:
            path.write_text(json.dumps(report, indent=2) + "\n")
        return report


def lung_volumes_ml(members: Sequence[Member]) -> dict[str, float]:
    """Volume of the lungs of each member, ml; members without lungs, or that cannot be read, are left out.

    Raises: ValueError if all are.
    """
    volumes = {}
    for member in tqdm(members, desc="lung volumes", unit="member"):
        try:
            lungs = find_lungs(read(member))
        except (OSError, ValueError) as error:
            if reason_of(error) is None:
                raise
            log.warning("%s: no lung volume: %s", member.name, reason_of(error))
            continue
        if lungs is not None:
            volumes[member.name] = volume_ml(lungs)
    if not volumes:
        raise ValueError("no member has lungs: name the one that the others are registered to with --reference")
    return volumes


def register_neighbours(
    registration: SeriesRegistration, series: Series, count: int, folder: Path
) -> tuple[dict[tuple[str, str], Any], dict[str, str]]:
    """Register `count` pairs of neighbours of the cycle directly, each into a folder of its own.

    Pairs that begin at the reference are left out: their transforms are those of the series.

    Returns: transforms by pair, and why other pairs were not compared.
    """
    by_name = {member.name: member for member in series.members}
    reference = series.names[series.reference]
    pairs = [pair for pair in neighbours(series.names) if pair[0] != reference] if len(series.names) > 2 else []
    transforms, problems = {}, {}
    for first, second in tqdm(spread(pairs, count), desc="transitivity", unit="pair"):
        place = folder / DIRECT / f"{first}_to_{second}"
        try:
            report = registration.register(by_name[first], by_name[second], place)
        except (OSError, ValueError) as error:
            if reason_of(error) is None:
                raise
            problems[place.name] = str(reason_of(error))
            continue
        if report["verdict"] == "failed":
            problems[place.name] = "verdict failed: " + "; ".join(report["reasons"])
        else:
            transforms[first, second] = read_world_transform(place / TRANSFORM)
    return transforms, problems


def _of_any(members: Sequence[Member], check: Callable[[ImageHeader], object]) -> None:
    """Check an input against the headers of those that may become the reference. Raises: the error of the first one."""
    errors = []
    for member in members:
        try:
            check(check_header(member.file, member.choice))
            return
        except ValueError as error:
            errors.append(error)
    raise errors[0]


def _is_usable(outcome: Outcome, name: str) -> bool:
    return name in outcome.reports and name not in outcome.failed


def _reasons(outcome: Outcome) -> str:
    return "; ".join(f"{name}: {reason}" for name, reason in outcome.failed.items())


def _member_report(name: str, outcome: Outcome, reference: str) -> dict[str, Any]:
    if name == reference:
        return {"verdict": "reference", "reasons": []}
    report = outcome.reports.get(name)
    if report is None:
        return {"verdict": "not registered", "reasons": [outcome.failed[name]]}
    start = report["settings"].get("started_from", OWN_ALIGNMENT)
    return {"verdict": report["verdict"], "reasons": report["reasons"], "started_from": start, "folder": name}


def _write_table(folder: Path, report: Mapping[str, Any]) -> None:
    rows = []
    for name, member in report["members"].items():
        moved = report["displacement_in_lungs"].get(name, {})
        volume = report["lung_volumes_ml"].get(name, "")
        figures = [member.get("started_from", ""), moved.get("mean_mm", ""), moved.get("p95_mm", ""), volume]
        rows.append([name, member["verdict"], "; ".join(member["reasons"]), *figures])
    write_table(folder / TABLE, TABLE_COLUMNS, rows)
