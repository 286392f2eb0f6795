"""Operators of the application: two scans in HU through MONAI Deploy's inference operator."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from monai.data import MetaTensor
from monai.deploy.conditions import CountCondition
from monai.deploy.core import (
    AppContext,
    ExecutionContext,
    Fragment,
    Image,
    InputContext,
    IOType,
    Operator,
    OperatorSpec,
    OutputContext,
)
from monai.deploy.operators.monai_bundle_inference_operator import (
    IOMapping,
    MonaiBundleInferenceOperator,
    get_bundle_config,
)
from monai.transforms import EnsureChannelFirstd
from torch import Tensor

from bundle.io import ImageHeader, check_weights, read_image, read_recipe
from bundle.io.dicom_objects import Source, registration_field, write_dicom_results
from bundle.transforms import world_transform

SCANS = ("fixed", "moving")
RESULTS = ("warped", "displacement_mm", "field_mm", "field_affine")


class PairReaderOperator(Operator):
    """Read the fixed and the moving scan by `bundle.io.read_image`: HU, float32 (H, W, D), with affines in RAS mm.

    The SDK's own loader keeps one of several slices at the same position, whichever phase it belongs to, and reads no
    multi-frame file; its volumes have swapped in-plane spacings, the integer type of the first slice and hidden gaps.

    Args:
        folder: contains both, in subfolders or mixed.
        pair: what to read there.
    """

    def __init__(
        self, fragment: Fragment, condition: CountCondition, *, folder: Path, pair: Mapping[str, Source], name: str
    ) -> None:
        self.folder = folder
        self.pair = pair
        super().__init__(fragment, condition, name=name)

    def setup(self, spec: OperatorSpec) -> None:
        for key in SCANS:
            spec.output(key)

    def compute(self, op_input: InputContext, op_output: OutputContext, context: ExecutionContext) -> None:
        for key in SCANS:
            op_output.emit(self.read(key), key)

    def read(self, key: str) -> Image:
        """Read one scan. Raises: FileNotFoundError, ValueError: see `bundle.io.read_image`."""
        scan = read_image(self.folder, self.pair[key].volume.choice)
        return Image(scan[0].numpy(), {**scan.meta, "original_channel_dim": "no_channel"})


class RegistrationOperator(MonaiBundleInferenceOperator):
    """Run `configs/inference.json` on two scans, including the postprocessing with all its output files.

    The SDK's operator takes the inputs from `network_data_format` of the metadata: one two-channel image, which the
    preprocessing builds from two scans here. It also drops `LoadImageSeriesd`, which adds the channel, and passes no
    mask. This class therefore overrides inputs, outputs, the reading of the configs and the call of the inferer.

    Args:
        output_dir: folder for the NIfTI files and the report.
        bundle_path: root of the bundle, or None for a TorchScript file, passed to the application as `-m`.
        overrides: replaced ids of the config.
    """

    def __init__(
        self,
        fragment: Fragment,
        *,
        app_context: AppContext,
        output_dir: Path,
        bundle_path: Path | None,
        overrides: Mapping[str, Any],
        name: str,
    ) -> None:
        self.output_dir = output_dir
        self.overrides = overrides
        super().__init__(
            fragment,
            app_context=app_context,
            input_mapping=[IOMapping(key, Image, IOType.IN_MEMORY) for key in SCANS],
            output_mapping=[IOMapping(key, np.ndarray, IOType.IN_MEMORY) for key in RESULTS],
            bundle_path=bundle_path,
            name=name,
        )

    def _init_config(self, config_names: list[str]) -> None:
        """Read the configs with the recipe of the weights; the SDK's method would take the one in the current folder.

        Raises: FileNotFoundError, ValueError: see `bundle.io.read_recipe`.
        """
        is_folder = self.bundle_path.is_dir()
        self._weights = self.bundle_path / "models" / "model.pt" if is_folder else self.bundle_path
        read_recipe(self._weights)  # its errors as they are: the parser would wrap them
        self.parser = get_bundle_config(str(self.bundle_path), config_names)
        self.parser.update({"weights": str(self._weights), **self.overrides})
        self.parser.parse()
        self._inputs = {key: {"type": "image"} for key in SCANS}
        self._outputs = {key: {"type": "tuples"} for key in RESULTS}  # "image" would be cast to uint8
        names = self._bundle_config_names
        self._device = self.parser.get_parsed_content("device")
        self._inferer = self.parser.get_parsed_content(names.inferer_name)
        self._preproc = self._get_compose(names.preproc_name, ["LoadImage"])
        self._postproc = self._get_compose(names.postproc_name, [])
        self._meta_key_postfix = self._get_meta_key_postfix(self._preproc)

    def pre_process(self, data: dict[str, Any]) -> dict[str, Any]:
        pair = EnsureChannelFirstd(SCANS)(data)
        return self._preproc({**pair, "name": self.output_dir.name, "output_dir": str(self.output_dir)})

    def predict(self, data: Tensor, **inputs: Any) -> Tensor:
        """Compute the ddf as `SupervisedEvaluator` does in a run of the bundle.

        Raises: ValueError if the recipe belongs to other weights.
        """
        network: Any = getattr(self._model_network, "predictor", self._model_network)  # the SDK wraps TorchScript
        check_weights(self._weights, network.state_dict())
        return self._inferer(inputs["image"], network, mask=inputs["mask_net"])

    def post_process(self, data: Tensor, *, preprocessed_inputs: dict[str, Any]) -> dict[str, Any]:
        pair = self._postproc({**preprocessed_inputs, "pred": data})
        fixed, transform = pair["fixed"], world_transform(pair)
        displacement_mm = transform.displacement_mm(fixed.shape[1:], fixed.affine)
        field_mm, field_affine = registration_field(transform, ImageHeader.of(fixed).corners_mm)
        field = {"field_mm": field_mm, "field_affine": field_affine}
        return {**pair, "displacement_mm": MetaTensor(displacement_mm, affine=fixed.affine), **field}


class DicomWriterOperator(Operator):
    """Write the warped series and the spatial registration object.

    Args:
        output_dir: folder for `warped_dicom/` and `registration.dcm`.
        pair: where the scans come from.
    """

    def __init__(self, fragment: Fragment, *, output_dir: Path, pair: Mapping[str, Source], name: str) -> None:
        self.output_dir = output_dir
        self.pair = pair
        super().__init__(fragment, name=name)

    def setup(self, spec: OperatorSpec) -> None:
        for key in RESULTS:
            spec.input(key)

    def compute(self, op_input: InputContext, op_output: OutputContext, context: ExecutionContext) -> None:
        warped, *fields = (op_input.receive(key) for key in RESULTS)
        write_dicom_results(self.output_dir, warped[0], *fields, *(self.pair[key] for key in SCANS))
