from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from bundle.io import check_header, read_image
from tests.hosts.deploy.conftest import MOVING_SHAPE, Series, make_series
from tests.hosts.deploy_app import ROOT, needs_deploy, run_python

pytestmark = [pytest.mark.slow, needs_deploy]

READ_VOLUME = """
import sys
from pathlib import Path
import numpy as np
from monai.deploy.core import Fragment
from monai.deploy.operators.dicom_data_loader_operator import DICOMDataLoaderOperator
from monai.deploy.operators.dicom_series_selector_operator import DICOMSeriesSelectorOperator
from bundle.hosts.deploy.operators import HuVolumeOperator
graph = Fragment()
studies = DICOMDataLoaderOperator(graph, name="loader").load_data_to_studies(Path(sys.argv[1]))
selection = DICOMSeriesSelectorOperator(graph, name="selector").filter(None, studies)
image = HuVolumeOperator(graph, name="volume").convert_to_image(selection)
np.savez(sys.argv[2], hu=image.asnumpy(), affine=image.metadata()["affine"])
"""


def test_a_series_becomes_the_volume_the_bundle_reads_itself(fixed: Series, tmp_path: Path) -> None:
    """Pixels that are no squares, a first slice without negative values: the SDK's own operator fails at both."""
    done = run_python("-c", READ_VOLUME, fixed.folder, tmp_path / "volume.npz")
    assert done.returncode == 0, done.stderr
    volume, ours = np.load(tmp_path / "volume.npz"), read_image(fixed.folder)
    np.testing.assert_array_equal(volume["hu"].transpose(2, 1, 0), fixed.hu)
    np.testing.assert_array_equal(volume["hu"].transpose(2, 1, 0), ours[0].numpy())
    np.testing.assert_array_equal(volume["affine"], check_header(fixed.folder).affine.numpy())
    np.testing.assert_allclose(volume["affine"], ours.affine.numpy(), atol=1e-5)


REFUSE = """
import json, sys
from pathlib import Path
from monai.deploy.core import Fragment
from monai.deploy.operators.dicom_data_loader_operator import DICOMDataLoaderOperator
from bundle.hosts.deploy.operators import HuVolumeOperator, PairSelectorOperator
graph = Fragment()
loader = DICOMDataLoaderOperator(graph, name="loader")
messages = []
for folder, fixed, moving in json.loads(sys.argv[1]):
    selector = PairSelectorOperator(graph, fixed=fixed, moving=moving, name="selector")
    try:
        pair = selector.select_pair(loader.load_data_to_studies(Path(folder)))
        HuVolumeOperator(graph, name="volume").convert_to_image(pair["moving"])
    except ValueError as error:
        messages.append(str(error))
print(json.dumps(messages))
"""


def test_pairs_that_cannot_be_told_apart_or_read_are_refused(tmp_path: Path) -> None:
    """Several cases in one process: it takes seconds to start."""

    def series(folder: str, seed: int, **attributes: str) -> Series:
        attributes = {"PatientID": "17", **attributes}
        return make_series(tmp_path / folder, MOVING_SHAPE, seed=seed, **attributes)

    inhale = series("three/1", 1, SeriesDescription="inhale")
    exhale = [series(f"three/{index}", index, SeriesDescription=f"exhale {index}") for index in (2, 3)]
    series("patients/1", 4, SeriesDescription="inhale")
    series("patients/2", 5, SeriesDescription="exhale", PatientID="18")
    series("hole/1", 6, SeriesDescription="inhale")
    (series("hole/2", 7, SeriesDescription="exhale").folder / "004.dcm").unlink()
    cases = [
        ("three", "inhale", "exhale"),
        ("three", "inhale", "mask"),
        ("three", "INHALE", inhale.slices[0].SeriesInstanceUID),
        ("patients", "inhale", "exhale"),
        ("hole", "inhale", "exhale"),
    ]
    done = run_python("-c", REFUSE, json.dumps([(str(tmp_path / folder), *rest) for folder, *rest in cases]))
    assert done.returncode == 0, done.stderr
    two, none, same, patients, hole = json.loads(done.stdout.splitlines()[-1])
    assert two.startswith("--moving 'exhale' matches 2 CT series, expected 1, of\n")
    for found in (inhale, *exhale):
        first = found.slices[0]
        assert f"  {first.SeriesInstanceUID} {first.SeriesDescription!r}, CT, 12 instances" in two
    assert "matches 0 CT series" in none
    assert "both match the same series" in same
    assert patients == "fixed and moving series: expected one patient, got PatientID ['17', '18']"
    assert "slices are missing, duplicated or unevenly spaced" in hole


OTHER_WEIGHTS = """
import sys
from pathlib import Path
from monai.deploy.core import Fragment
from bundle.hosts.deploy.operators import RegistrationOperator
arguments = {"app_context": None, "output_dir": Path(sys.argv[2]), "bundle_path": Path(sys.argv[1])}
operator = RegistrationOperator(Fragment(), overrides={"spacing_mm": 4.0}, name="registration", **arguments)
operator._init_config(["inference"])
print(operator._inferer.network_spacing_mm, operator.parser["spacing_mm"])
operator._model_network = operator.parser.get_parsed_content("network_def")
operator.predict(None, image=None, mask_net=None)
"""


def test_the_recipe_of_the_weights_is_read_from_any_folder_and_held_against_them(tmp_path: Path) -> None:
    code = f"import os, sys; sys.path.insert(0, {str(ROOT)!r}); os.chdir(sys.argv[2])\n" + OTHER_WEIGHTS
    done = run_python("-c", code, ROOT, tmp_path)
    assert done.stdout.splitlines()[-1] == "2.0 4.0", done.stderr
    assert "this recipe belongs to other weights" in done.stderr.splitlines()[-1]
