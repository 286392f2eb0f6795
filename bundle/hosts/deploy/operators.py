"""Operators of the application: subclasses of MONAI Deploy's operators for two scans in HU."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
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
from monai.deploy.core.domain.dicom_series import DICOMSeries
from monai.deploy.core.domain.dicom_series_selection import StudySelectedSeries
from monai.deploy.core.domain.dicom_study import DICOMStudy
from monai.deploy.operators.dicom_series_selector_operator import DICOMSeriesSelectorOperator
from monai.deploy.operators.dicom_series_to_volume_operator import DICOMSeriesToVolumeOperator
from monai.deploy.operators.monai_bundle_inference_operator import (
    IOMapping,
    MonaiBundleInferenceOperator,
    get_bundle_config,
)
from monai.transforms import EnsureChannelFirstd
from pydicom import Dataset
from pydicom.pixels.processing import apply_rescale
from torch import Tensor

from bundle.hosts.deploy.derived_series import contributing_slices, write_derived_series
from bundle.hosts.deploy.spatial_registration import write_spatial_registration
from bundle.io import check_weights, read_recipe
from bundle.io.dicom import series_geometry
from bundle.io.headers import affine_from_itk

SCANS = ("fixed", "moving")
RESULTS = ("warped", "displacement_mm")
UID_PATTERN = r"\d+(\.\d+){3,}"


class PairSelectorOperator(DICOMSeriesSelectorOperator):
    """Select the fixed and the moving series by MONAI Deploy's rules; each must match exactly one CT series.

    Args:
        fixed, moving: a SeriesInstanceUID, or a regular expression to find in the SeriesDescription, any case.
    Raises: ValueError if a pattern does not match exactly one series or both match the same (the message lists the
        series), a frame of reference is missing, or the scans are of different patients.
    """

    def __init__(self, fragment: Fragment, *, fixed: str, moving: str, name: str) -> None:
        self.patterns = {"fixed": fixed, "moving": moving}
        super().__init__(fragment, name=name)

    def setup(self, spec: OperatorSpec) -> None:
        spec.input(self.input_name_study_list)
        for key in SCANS:
            spec.output(key)

    def compute(self, op_input: InputContext, op_output: OutputContext, context: ExecutionContext) -> None:
        for key, selection in self.select_pair(op_input.receive(self.input_name_study_list)).items():
            op_output.emit(selection, key)

    def select_pair(self, studies: list[DICOMStudy]) -> dict[str, list[StudySelectedSeries]]:
        """Select and check the fixed and the moving series."""
        selected = {key: self._select(key, studies) for key in SCANS}
        first = {key: slices_of(selection)[0] for key, selection in selected.items()}
        if first["fixed"].SeriesInstanceUID == first["moving"].SeriesInstanceUID:
            raise ValueError(f"{self.patterns}: both match the same series, of\n{_listing(studies)}")
        for key, image in first.items():
            if "FrameOfReferenceUID" not in image:
                raise ValueError(f"{image.filename}: the {key} series has no FrameOfReferenceUID")
        patients = [image.get("PatientID") for image in first.values()]
        if patients[0] != patients[1]:
            raise ValueError(f"fixed and moving series: expected one patient, got PatientID {patients}")
        return selected

    def _select(self, key: str, studies: list[DICOMStudy]) -> list[StudySelectedSeries]:
        pattern = self.patterns[key]
        if re.fullmatch(UID_PATTERN, pattern):
            conditions = {"SeriesInstanceUID": f"^{re.escape(pattern)}$"}
        else:
            conditions = {"SeriesDescription": pattern}
        rules = {"selections": [{"name": key, "conditions": {"Modality": "^CT$", **conditions}}]}
        matches = self.filter(rules, studies, all_matched=True)
        count = sum(len(match.selected_series) for match in matches)
        if count != 1:
            raise ValueError(f"--{key} {pattern!r} matches {count} CT series, expected 1, of\n{_listing(studies)}")
        return matches


def _listing(studies: list[DICOMStudy]) -> str:
    return "\n".join(
        f"  {series.SeriesInstanceUID} {series.SeriesDescription!r}, {series.Modality}, "
        f"{len(series.get_sop_instances())} instances"
        for study in studies
        for series in study.get_all_series()
    )


def slices_of(selection: list[StudySelectedSeries]) -> list[Dataset]:
    """Instances of a selected series; ordered by position after `HuVolumeOperator`."""
    return [
        instance.get_native_sop_instance() for instance in selection[0].selected_series[0].series.get_sop_instances()
    ]


class HuVolumeOperator(DICOMSeriesToVolumeOperator):
    """Read a series as HU float32, with the geometry and checks of `bundle.io`.

    The SDK's operator swaps the in-plane spacings, takes the integer type of the scan from the first slice, and misses
    gaps between slices.
    """

    def prepare_series(self, series: DICOMSeries) -> None:
        """Sort the slices and set the affine, RAS mm. Raises: ValueError, see `bundle.io.dicom.series_geometry`."""
        super().prepare_series(series)
        files = [instance.get_native_sop_instance().filename for instance in series.get_sop_instances()]
        if len(files) < 2:
            raise ValueError(
                f"series {series.SeriesInstanceUID}: expected a volume with one file per slice, got {len(files)} file"
            )
        _, spacing, direction, origin = series_geometry(Path(files[0]).parent, files)
        series.nifti_affine_transform = affine_from_itk(spacing, direction, origin).numpy()

    def generate_voxel_data(self, series: DICOMSeries) -> np.ndarray:
        """HU (D, H, W): slices, rows, columns."""
        instances = series.get_sop_instances()
        slices = [apply_rescale(image.get_pixel_array(), image.get_native_sop_instance()) for image in instances]
        return np.stack(slices).astype(np.float32)

    def create_metadata(self, series: DICOMSeries) -> dict[str, Any]:
        return {**super().create_metadata(series), "filename_or_obj": f"series {series.SeriesInstanceUID}"}


class RegistrationOperator(MonaiBundleInferenceOperator):
    """Run `configs/inference.json` on two scans, including the postprocessing with all its output files.

    The SDK's operator takes the inputs from `network_data_format` of the metadata: one two-channel image, which the
    preprocessing builds from two scans here. It also drops `LoadImaged`, which adds the channel, and passes no mask.
    This class therefore overrides the inputs, the outputs, the reading of the configs and the call of the inferer.

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
        with torch.autocast("cuda", enabled=self.parser.get_parsed_content("amp")):
            return self._inferer(inputs["image"], network, mask=inputs["mask_net"])

    def post_process(self, data: Tensor, *, preprocessed_inputs: dict[str, Any]) -> dict[str, Any]:
        return self._postproc({**preprocessed_inputs, "pred": data})


class DicomWriterOperator(Operator):
    """Write the warped series and the spatial registration object.

    Args:
        output_dir: folder for `warped_dicom/` and `registration.dcm`.
    """

    def __init__(self, fragment: Fragment, *, output_dir: Path, name: str) -> None:
        self.output_dir = output_dir
        super().__init__(fragment, name=name)

    def setup(self, spec: OperatorSpec) -> None:
        for key in (*SCANS, *RESULTS):
            spec.input(key)

    def compute(self, op_input: InputContext, op_output: OutputContext, context: ExecutionContext) -> None:
        selected = {key: op_input.receive(key) for key in SCANS}
        warped, displacement_mm = (op_input.receive(key) for key in RESULTS)
        fixed, moving = (slices_of(selected[key]) for key in SCANS)
        fixed_affine, moving_affine = (
            selected[key][0].selected_series[0].series.nifti_affine_transform for key in SCANS
        )
        sources = contributing_slices(displacement_mm, fixed_affine, moving_affine, num_moving=len(moving))
        folder = self.output_dir / "warped_dicom"
        folder.mkdir()
        write_derived_series(folder, warped[0], fixed, moving, sources)
        write_spatial_registration(self.output_dir / "registration.dcm", displacement_mm, fixed_affine, fixed, moving)
