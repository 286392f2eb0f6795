"""MONAI Deploy application: two DICOM series in, their registration out as DICOM and NIfTI (docs/hosts.md)."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

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

BUNDLE_ROOT = Path(__file__).resolve().parents[3]


class RegistrationApp(Application):
    """Graph of the SDK's loader, a selector for the pair, two volumes, the registration and the writer.

    Args:
        input_dir, output_dir: existing folders.
        model: TorchScript file of the bundle, or None for the bundle's own folder.
        patterns: of `fixed` and `moving`, see `PairSelectorOperator`.
        overrides: replaced ids of the inference config.
    Raises: ValueError if `model` is not a TorchScript file.
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
