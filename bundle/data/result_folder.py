"""The result folder of a registration: its report, its transforms, and the scans and masks that were registered."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import itk
from monai.data import MetaTensor

from bundle.data.pairs_to_register import REPORT
from bundle.data.world_transform import read_world_transform
from bundle.formats import read_json
from bundle.geometry import WorldTransform
from bundle.io import check_header, check_mask_file, read_transform
from bundle.lung import LungRegiond
from bundle.plausibility import HounsfieldUnitsd
from bundle.transforms import CheckScand, ContentHashd, FitMasksd, LoadImageSeriesd, TimedCompose

TRANSFORM, INVERSE = "transform.h5", "inverse_transform.h5"
SCANS = ("fixed", "moving")


@dataclass(frozen=True)
class ResultFolder:
    """A complete result folder. Scans and masks are read on first use, by the transforms that the registration used.

    Args:
        folder: the folder.
        report: content of its report.json.
        files: scans and masks that the registration read, and the DICOM series, by the keys of `PairFiles`.
    """

    folder: Path
    report: dict[str, Any]
    files: dict[str, str]

    @classmethod
    def read(
        cls,
        folder: str | Path,
        *,
        fixed: str | Path | None = None,
        moving: str | Path | None = None,
        fixed_mask: str | Path | None = None,
        moving_mask: str | Path | None = None,
    ) -> ResultFolder:
        """Check a result folder and the headers of what it was made of.

        Args:
            fixed, moving, fixed_mask, moving_mask: where the files are now, if they have moved.
        Raises:
            FileNotFoundError: no such folder; no complete result in it; a scan or mask that is no longer there.
            ValueError: a report of a version that did not record its files; scans in memory; a mask that was not given
                to the registration; what `bundle.io.check_header` raises.
        """
        folder = Path(folder)
        report = _read_report(folder)
        moved = {"fixed": fixed, "moving": moving, "fixed_mask": fixed_mask, "moving_mask": moving_mask}
        files: dict[str, str] = {}
        for key, place in moved.items():
            recorded = report["files"].get(key)
            if place is None and recorded is None:
                if key in SCANS:
                    raise ValueError(f"{folder}: the {key} scan was an array in memory; pass its file as --{key}")
                continue
            if key not in SCANS and recorded is None:
                raise ValueError(f"--{key}: the registration in {folder} found its own mask, got {place}")
            file = str(recorded if place is None else place)
            if not Path(file).exists():
                raise FileNotFoundError(f"{file}: the {key} of {folder} is not there; say where it is with --{key}")
            files[key] = file
            if key in SCANS:
                series = _series(report, key, file)
                files |= {f"{key}_series": series} if series else {}
                check_header(file, series)
            else:
                check_mask_file(file)
        return cls(folder, report, files)

    @property
    def name(self) -> str:
        """Name of the pair."""
        return str(self.report["name"])

    @property
    def verdict(self) -> str:
        """Level of the verdict: "ok", "check" or "failed"."""
        return str(self.report["verdict"])

    def refuse_failed(self) -> None:
        """Raises: ValueError with the reasons if the registration failed: its field must not become a map."""
        if self.verdict == "failed":
            reasons = "; ".join(self.report["reasons"])
            raise ValueError(f"{self.folder}: this registration failed, nothing is computed from it: {reasons}")

    @cached_property
    def fixed(self) -> MetaTensor:
        """The fixed scan (1, H, W, D), HU. Raises: ValueError if it is not the scan that was registered."""
        return self._pair["fixed"]

    @cached_property
    def moving(self) -> MetaTensor:
        """The moving scan (1, h, w, d), HU. Raises: ValueError if it is not the scan that was registered."""
        return self._pair["moving"]

    @cached_property
    def fixed_mask(self) -> MetaTensor:
        """Lung mask (1, H, W, D) uint8 on the grid of the fixed scan: the one given, or found again."""
        return self._pair["fixed_mask"]

    @cached_property
    def moving_mask(self) -> MetaTensor:
        """Lung mask (1, h, w, d) uint8 on the grid of the moving scan: the one given, or found again."""
        return self._pair["moving_mask"]

    @cached_property
    def fixed_lungs(self) -> MetaTensor | None:
        """1 in the right lung and 2 in the left (1, H, W, D); None where the sides are not known."""
        return self._pair.get("fixed_lungs")

    @property
    def lungs_found(self) -> dict[str, bool]:
        """Whether each scan has lungs, given or found; the mask is the whole image where it has none."""
        return {key: bool(self._pair[f"{key}_lungs_found"]) for key in SCANS}

    @property
    def signs(self) -> list[str]:
        """Signs that a scan is not in HU; see `HounsfieldUnitsd`."""
        return list(self._pair["implausible"])

    @cached_property
    def transform(self) -> itk.Transform:
        """Fixed to moving points, LPS mm; see `bundle.io.read_transform`."""
        return read_transform(self.folder / TRANSFORM)

    @cached_property
    def field(self) -> WorldTransform:
        """The same transform, fixed to moving world, RAS mm, without ITK; see `read_world_transform`."""
        return read_world_transform(self.folder / TRANSFORM)

    @cached_property
    def inverse(self) -> itk.Transform:
        """Moving to fixed points, LPS mm."""
        return read_transform(self.folder / INVERSE)

    @cached_property
    def _pair(self) -> dict[Hashable, Any]:
        """The pair as registration had it before the alignment."""
        read = TimedCompose(
            [
                LoadImageSeriesd(["fixed", "moving", "fixed_mask", "moving_mask"], allow_missing_keys=True),
                CheckScand(SCANS),
                HounsfieldUnitsd(SCANS, window_hu=self.report["settings"]["window_hu"]),
                FitMasksd(SCANS),
                ContentHashd(SCANS),
            ]
        )
        pair: dict[Any, Any] = read({"name": self.name, **self.files})
        for key in SCANS:
            if pair[f"{key}_sha256"] != self.report["sha256"][key]:
                raise ValueError(
                    f"{self.files[key]}: expected the {key} scan that was registered in {self.folder}, found other "
                    f"voxels (content hash {pair[f'{key}_sha256'][:12]}, registered {self.report['sha256'][key][:12]})"
                )
        return LungRegiond(SCANS)(pair)


def _read_report(folder: Path) -> dict[str, Any]:
    """The report of a complete folder."""
    if not folder.is_dir():
        raise FileNotFoundError(f"{folder}: no such folder (expected the --output_dir of scripts.register)")
    if not (folder / REPORT).is_file():
        raise FileNotFoundError(f"{folder}: no {REPORT}: not the result folder of a registration, or an unfinished one")
    report = read_json(folder / REPORT, "report of a registration")
    if not isinstance(report, dict) or "verdict" not in report or "versions" not in report:
        raise ValueError(f"{folder / REPORT}: expected the report of a registration of this bundle, found another JSON")
    if not {"files", "sha256", "settings"} <= report.keys():
        raise ValueError(
            f"{folder / REPORT}: written by version {report['versions'].get('bundle', 'unknown')} of the bundle, which "
            "did not record the files of the registration; register the pair again"
        )
    for name in (TRANSFORM, INVERSE):
        if not (folder / name).is_file():
            raise FileNotFoundError(f"{folder}: incomplete result folder: {name} is missing; register the pair again")
    return report


def _series(report: dict[str, Any], key: str, file: str) -> str | None:
    """The series and phase that was read from a DICOM folder."""
    dicom = report["dicom_series"][key]
    if dicom is None or not Path(file).is_dir():
        return None
    return dicom["series"] + (f"#{dicom['phase']}" if dicom["phase"] else "")
