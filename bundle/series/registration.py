"""Register the members of a series to their reference, one after the other, from neighbour to neighbour."""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from monai.data import MetaTensor
from torch import Tensor
from tqdm import tqdm

from bundle.data.pairs_to_register import REPORT
from bundle.io import content_sha256, make_folder, read_image
from bundle.plausibility import find_intensities
from bundle.refusals import reason_of
from bundle.register import Registration, register_pair, workflow
from bundle.reports import SaveRegistrationd
from bundle.series.members import Member
from bundle.series.order import Step

log = logging.getLogger(__name__)

SETTINGS = ("refine", "refine_budget_s", "spacing_mm")  # as `scripts.register` reports them
OF_RECIPE = ("network_spacing_mm", "spatial_size", "alignment")  # the report holds these, too
TRANSFORM = "transform.h5"
OWN_ALIGNMENT = "own alignment"


@dataclass
class Outcome:
    """What became of the members of a series.

    Args:
        reports: report.json of every finished member, by name.
        failed: why a member cannot be used, by name: the reason of a refusal, or of the verdict `failed`.
    """

    reports: dict[str, dict[str, Any]] = field(default_factory=dict)
    failed: dict[str, str] = field(default_factory=dict)

    def note(self, name: str, report: Mapping[str, Any]) -> None:
        """Add the report of a finished member."""
        self.reports[name] = dict(report)
        if report["verdict"] == "failed":
            self.failed[name] = "verdict failed: " + "; ".join(report["reasons"])


class SeriesRegistration:
    """Registers pairs of members into folders; the network is built once, and finished folders are skipped.

    Args:
        options: ids of `configs/inference.json` with other values, see `bundle.register_pair`.
        overwrite: also register what is finished.
    """

    def __init__(self, options: Mapping[str, Any], *, overwrite: bool = False) -> None:
        self.options = options
        self.overwrite = overwrite
        parser = workflow(options)
        self.settings = {name: parser.get_parsed_content(name) for name in SETTINGS}
        recipe = parser.get_parsed_content("recipe")
        self.weights = recipe.weights_sha256
        self.all_settings = json.loads(json.dumps(self.settings | {name: getattr(recipe, name) for name in OF_RECIPE}))

    def register(
        self,
        fixed: Member,
        moving: Member,
        folder: Path,
        start: Tensor | None = None,
        started_from: str = OWN_ALIGNMENT,
    ) -> dict[str, Any]:
        """Register a member to another and write what `scripts.register` writes; returns its report.

        Args:
            folder: of the results; created if missing.
            start: (4, 4), RAS mm, fixed to moving world, where the alignment may begin.
            started_from: what the start is, for the report.
        Raises: FileNotFoundError, ValueError: what `bundle.register_pair` raises.
        """
        report = None if self.overwrite else self._finished(fixed, moving, folder)
        if report is not None:
            return report
        make_folder(folder)
        registered: Registration = register_pair(
            fixed.file,
            moving.file,
            fixed_series=fixed.choice,
            moving_series=moving.choice,
            start=start,
            options=self.options,
        )
        settings = self.settings | {"started_from": started_from}
        save = SaveRegistrationd(weights=registered.weights, recipe=registered.recipe, settings=settings)
        save({**registered.pair, "name": moving.name, "output_dir": str(folder)})
        return _read_report(folder)

    def _finished(self, fixed: Member, moving: Member, folder: Path) -> dict[str, Any] | None:
        """The report of a folder that holds this registration with these settings and weights; else None."""
        if not (folder / REPORT).is_file():
            return None
        report = _read_report(folder)
        given = report.get("files") == _files(fixed=fixed, moving=moving)
        settings = all(report.get("settings", {}).get(name) == value for name, value in self.all_settings.items())
        if not given or not settings or report["weights"]["sha256"] != self.weights:
            log.info("%s: holds a registration of other scans, settings or weights; registered again", folder)
            return None
        hashes = {key: content_sha256(read(member)) for key, member in (("fixed", fixed), ("moving", moving))}
        if hashes != report["sha256"]:
            log.info("%s: a scan has changed since; registered again", folder)
            return None
        return report


def read(member: Member) -> MetaTensor:
    """The scan (1, H, W, D) of a member in HU, as its registration sees it, also of a file of HU + 1024 or + 1000."""
    scan = read_image(member.file, member.choice)
    found = find_intensities(scan.as_tensor())
    if found.scale == "offset":
        scan -= found.offset_hu
    return scan


def register_members(
    registration: SeriesRegistration, members: Sequence[Member], reference: int, steps: Sequence[Step], folder: Path
) -> Outcome:
    """Register every member to the reference, each started from the answer of its neighbour that is done.

    A member that cannot be registered is noted, with its reason, and the others go on.
    """
    outcome = Outcome()
    for step in tqdm(steps, desc="members", unit="member"):
        member = members[step.member]
        done = [members[number].name for number in step.towards_reference]
        source = next((name for name in done if name in outcome.reports and name not in outcome.failed), None)
        start = None if source is None else torch.tensor(outcome.reports[source]["initial_affine_ras_mm"])
        try:
            report = registration.register(
                members[reference], member, folder / member.name, start, source or OWN_ALIGNMENT
            )
        except (OSError, ValueError) as error:
            reason = reason_of(error)
            if reason is None:
                raise
            log.error("%s: not registered: %s", member.name, reason)
            outcome.failed[member.name] = reason
        else:
            outcome.note(member.name, report)
    return outcome


def _files(**members: Member) -> dict[str, str]:
    """What a report says about the files of a pair of members."""
    files = {key: os.path.abspath(member.file) for key, member in members.items()}
    return files | {f"{key}_series": member.choice for key, member in members.items() if member.choice}


def _read_report(folder: Path) -> dict[str, Any]:
    report: dict[str, Any] = json.loads((folder / REPORT).read_text())
    return report
