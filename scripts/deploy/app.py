"""MONAI Deploy application: two DICOM series in, their registration out as DICOM and NIfTI (docs/hosts.md)."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import fire
from monai.deploy.conditions import CountCondition
from monai.deploy.core import Application, TorchScriptModel
from monai.deploy.operators.dicom_data_loader_operator import DICOMDataLoaderOperator

from bundle.hosts.deploy.operators import (
    RESULTS,
    SCANS,
    DicomWriterOperator,
    HuVolumeOperator,
    PairSelectorOperator,
    RegistrationOperator,
)

BUNDLE_ROOT = Path(__file__).resolve().parents[2]


class RegistrationApp(Application):
    """Loader, selection of the pair, two volumes, registration, writer.

    Args:
        input_dir, output_dir: both exist.
        model: TorchScript file of the bundle, or None for the bundle's own folder.
        patterns: of `fixed` and `moving`, see `PairSelectorOperator`.
        overrides: ids of the inference config to replace.
    """

    def __init__(
        self,
        input_dir: Path,
        output_dir: Path,
        *,
        model: str | None,
        patterns: Mapping[str, str],
        overrides: Mapping[str, Any],
    ) -> None:
        arguments = ["app", "--input", str(input_dir), "--output", str(output_dir)]
        self.app_context = Application.init_app_context(arguments + (["--model", model] if model else []))
        if model is None:
            self.app_context.models = None  # the SDK takes any folder `models` in the current one for a model
        elif not isinstance(self.app_context.models, TorchScriptModel):
            raise ValueError(f"{model}: not a TorchScript file; `python -m monai.bundle ckpt_export` makes one")
        self.bundle_path = BUNDLE_ROOT if model is None else None
        self.patterns = patterns
        self.overrides = overrides
        super().__init__()

    def compose(self) -> None:
        """Build the graph."""
        output_dir = Path(self.app_context.output_path)
        once = CountCondition(self, 1)
        loader = DICOMDataLoaderOperator(self, once, input_folder=Path(self.app_context.input_path), name="loader")
        selector = PairSelectorOperator(self, **self.patterns, name="selector")
        registration = RegistrationOperator(
            self,
            app_context=self.app_context,
            output_dir=output_dir,
            bundle_path=self.bundle_path,
            overrides=self.overrides,
            name="registration",
        )
        writer = DicomWriterOperator(self, output_dir=output_dir, name="writer")
        self.add_flow(loader, selector, {("dicom_study_list", "dicom_study_list")})
        for key in SCANS:
            volume = HuVolumeOperator(self, name=f"{key}_volume")
            self.add_flow(selector, volume, {(key, "study_selected_series_list")})
            self.add_flow(volume, registration, {("image", key)})
            self.add_flow(selector, writer, {(key, key)})
        self.add_flow(registration, writer, {(key, key) for key in RESULTS})


def main(
    input: str,
    output: str,
    fixed: str = "insp|inhal",
    moving: str = "exp|exhal",
    model: str | None = None,
    refine: str | None = None,
    refine_budget_s: float | None = None,
    spacing_mm: float | None = None,
) -> None:
    """Warp the MOVING DICOM series in INPUT onto the FIXED one and write DICOM, NIfTI and a report to OUTPUT.

    Args:
        input: folder with both series, in subfolders or mixed.
        output: folder for the results, empty or missing.
        fixed: SeriesInstanceUID of the series whose grid carries the results, or a regular expression that finds it by
            its SeriesDescription.
        moving: the same for the series that is warped.
        model: TorchScript file `model.ts` of the bundle; the bundle's own folder if missing.
        refine: "field" (default), "network" or "none", see scripts.register.
        refine_budget_s: seconds after which the refinement ends with what it has; no limit if missing.
        spacing_mm: voxel size of the network grid.
    """
    if not Path(input).is_dir():
        raise FileNotFoundError(f"{input}: no such folder")
    if Path(output).exists() and any(Path(output).iterdir()):
        raise ValueError(f"{output}: expected an empty folder for the results")
    Path(output).mkdir(parents=True, exist_ok=True)
    options = {"refine": refine, "refine_budget_s": refine_budget_s, "spacing_mm": spacing_mm}
    RegistrationApp(
        Path(input),
        Path(output),
        model=model,
        patterns={"fixed": str(fixed), "moving": str(moving)},
        overrides={name: value for name, value in options.items() if value is not None},
    ).run()


if __name__ == "__main__":
    fire.Fire(main)
