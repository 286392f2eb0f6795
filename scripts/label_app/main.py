"""App for MONAI Label: reads both scans of a pair from its datastore and stores the displacement field there."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from monailabel.interfaces.app import MONAILabelApp
from monailabel.interfaces.datastore import Datastore
from monailabel.interfaces.tasks.infer_v2 import InferTask
from monailabel.tasks.infer.bundle import BundleInferTask

# `scripts/label_server.py` links this file to another folder if it cannot write here, and finds the bundle itself
PLACES = (Path(__file__).absolute().parents[2], *map(Path, sys.path))
BUNDLE_ROOT = next(place for place in PLACES if (place / "configs" / "inference.json").is_file())
MODEL = "lung_registration"


class LungRegistrationApp(MONAILabelApp):
    """Serve this bundle as the model `lung_registration`."""

    def __init__(self, app_dir: str, studies: str, conf: dict[str, str]) -> None:
        super().__init__(app_dir, studies, conf, name="Lung registration", description=__doc__ or "")

    def init_infers(self) -> dict[str, InferTask]:
        return {MODEL: BundleInferTask(str(BUNDLE_ROOT), self.conf)}

    def infer(self, request: dict[str, Any], datastore: Datastore | None = None) -> dict[str, Any]:
        """Register `moving`, an id of the datastore or a path, to `image`.

        If the fixed scan is in the datastore, the field is stored as its label with the tag `displacement_<moving>`;
        the answer contains the tag (`displacement_tag`): GET /datastore/label?label=<fixed>&tag=<tag>.
        """
        store = datastore or self.datastore()
        moving = request.get("moving") or ""
        answer = super().infer({**request, "moving": store.get_image_uri(moving) or moving}, store)
        fixed, params = request["image"], answer["params"]
        if fixed in store.list_images():
            tag = f"displacement_{Path(params['moving']).name.split('.')[0]}"
            params["files"]["displacement.nii.gz"] = _write_field(params["files"]["transform.h5"], store, fixed)
            store.save_label(fixed, params["files"]["displacement.nii.gz"], tag, {"scores": params["scores"]})
            params["displacement_tag"] = tag
        return answer


def _write_field(transform: str, store: Datastore, fixed: str) -> str:
    """Write a transform as a field on the fixed scan's grid: the datastore keeps images only."""
    from bundle.apply import displacement_on
    from bundle.io import check_header, read_transform, write_displacement

    grid = check_header(store.get_image_uri(fixed))
    path = Path(transform).with_name("displacement.nii.gz")
    write_displacement(path, displacement_on(read_transform(transform), grid), grid.affine)
    return str(path)
