from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from bundle.io import read_image
from tests.hosts.deploy import needs_deploy, run_app, run_python
from tests.scripts.deploy.conftest import MOVING_SHAPE, Series, make_series

pytestmark = [pytest.mark.slow, needs_deploy]

READ_VOLUME = """
import sys
from pathlib import Path
import numpy as np
from monai.deploy.core import Fragment
from monai.deploy.operators.dicom_data_loader_operator import DICOMDataLoaderOperator
from monai.deploy.operators.dicom_series_selector_operator import DICOMSeriesSelectorOperator
from scripts.deploy.operators import HuVolumeOperator
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
    np.testing.assert_array_equal(volume["affine"], ours.affine.numpy())


def refusal(tmp_path: Path, *options: str) -> str:
    done = run_app(tmp_path, tmp_path / "out", *options)
    assert done.returncode != 0
    assert not list((tmp_path / "out").iterdir())
    return done.stderr


def test_a_folder_with_one_series_is_refused_and_listed(fixed: Series, tmp_path: Path) -> None:
    message = refusal(tmp_path)
    assert "ValueError: --moving 'exp|exhal' matches 0 CT series, expected 1, of" in message
    assert f"  {fixed.slices[0].SeriesInstanceUID} 'inhale', CT, 10 instances" in message


def test_series_that_match_alike_are_refused_and_listed(fixed: Series, moving: Series, tmp_path: Path) -> None:
    again = make_series(tmp_path / "again", MOVING_SHAPE, seed=2, SeriesDescription="exhale 2", PatientID="17")
    message = refusal(tmp_path)
    assert "ValueError: --moving 'exp|exhal' matches 2 CT series, expected 1, of" in message
    for series in (fixed, moving, again):
        assert series.slices[0].SeriesInstanceUID in message


def test_one_series_in_both_roles_is_refused(fixed: Series, moving: Series, tmp_path: Path) -> None:
    message = refusal(tmp_path, "--fixed", "inhale", "--moving", str(fixed.slices[0].SeriesInstanceUID))
    assert "both match the same series" in message


def test_series_of_two_patients_are_refused(fixed: Series, tmp_path: Path) -> None:
    make_series(tmp_path / "moving", MOVING_SHAPE, seed=1, SeriesDescription="exhale", PatientID="18")
    assert "belong to different patients: PatientID ['17', '18']" in refusal(tmp_path)


def test_a_missing_slice_is_noticed(fixed: Series, moving: Series, tmp_path: Path) -> None:
    (moving.folder / "004.dcm").unlink()
    assert "slices are missing, doubled or unevenly spaced" in refusal(tmp_path)
