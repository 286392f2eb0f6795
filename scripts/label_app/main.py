"""App for MONAI Label: both scans of a pair come from its datastore, and the displacement field goes there."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from monailabel.interfaces.app import MONAILabelApp
from monailabel.interfaces.datastore import Datastore
from monailabel.interfaces.tasks.infer_v2 import InferTask
from monailabel.tasks.infer.bundle import BundleInferTask

BUNDLE_ROOT = Path(__file__).resolve().parents[2]
MODEL = "lung_registration"


class LungRegistrationApp(MONAILabelApp):
    """Serve the bundle this file belongs to as the model `lung_registration`."""

    def __init__(self, app_dir: str, studies: str, conf: dict[str, str]) -> None:
        super().__init__(app_dir, studies, conf, name="Lung registration", description=__doc__ or "")

    def init_infers(self) -> dict[str, InferTask]:
        return {MODEL: BundleInferTask(str(BUNDLE_ROOT), self.conf)}

    def infer(self, request: dict[str, Any], datastore: Datastore | None = None) -> dict[str, Any]:
        """Register `moving`, an id of the datastore or a path, to `image`.

        The field of a fixed scan of the datastore is kept there as its label with the tag `displacement_<moving>`,
        which the answer names (`displacement_tag`): GET /datastore/label?label=<fixed>&tag=<tag>.
        """
        store = datastore or self.datastore()
        moving = request.get("moving") or ""
        answer = super().infer({**request, "moving": store.get_image_uri(moving) or moving}, store)
        fixed, params = request["image"], answer["params"]
        if fixed in store.list_images():
            tag = f"displacement_{Path(params['moving']).name.split('.')[0]}"
            store.save_label(fixed, params["files"]["displacement.nii.gz"], tag, {"scores": params["scores"]})
            params["displacement_tag"] = tag
        return answer
