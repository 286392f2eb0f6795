"""MONAI Deploy application: two DICOM series in, their registration out as DICOM and NIfTI (docs/hosts.md)."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from monai.deploy.conditions import CountCondition
from monai.deploy.core import Application, TorchScriptModel

from bundle.hosts.deploy.operators import (
    RESULTS,
    SCANS,
    DicomWriterOperator,
    PairReaderOperator,
    RegistrationOperator,
)
from bundle.io.dicom_objects import Source

BUNDLE_ROOT = Path(__file__).resolve().parents[3]


class RegistrationApp(Application):
    """Graph of the reader of both scans, the registration and the writer.

    Args:
        input_dir, output_dir: existing folders.
        model: TorchScript file of the bundle, or None for the bundle's own folder.
        pair: `fixed` and `moving` in `input_dir`, see `find_pair`.
        overrides: replaced ids of the inference config.
    Raises: ValueError if `model` is not a TorchScript file.
    """

    def __init__(
        self,
        input_dir: Path,
        output_dir: Path,
        *,
        model: str | None,
        pair: Mapping[str, Source],
        overrides: Mapping[str, Any],
    ) -> None:
        arguments = ["app", "--input", str(input_dir), "--output", str(output_dir)]
        self.app_context = Application.init_app_context(arguments + (["--model", model] if model else []))
        if model is None:
            self.app_context.models = None  # the SDK takes any folder `models` in the current one for a model
        elif not isinstance(self.app_context.models, TorchScriptModel):
            raise ValueError(f"{model}: not a TorchScript file; `python -m monai.bundle ckpt_export` makes one")
        self.bundle_path = BUNDLE_ROOT if model is None else None
        self.pair = pair
        self.overrides = overrides
        super().__init__()

    def compose(self) -> None:
        """Build the graph."""
        output_dir = Path(self.app_context.output_path)
        reader = PairReaderOperator(
            self, CountCondition(self, 1), folder=Path(self.app_context.input_path), pair=self.pair, name="reader"
        )
        registration = RegistrationOperator(
            self,
            app_context=self.app_context,
            output_dir=output_dir,
            bundle_path=self.bundle_path,
            overrides=self.overrides,
            name="registration",
        )
        writer = DicomWriterOperator(self, output_dir=output_dir, pair=self.pair, name="writer")
        self.add_flow(reader, registration, {(key, key) for key in SCANS})
        self.add_flow(registration, writer, {(key, key) for key in RESULTS})
