from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from bundle.io import check_header
from tests.formats.dicom.conftest import write_enhanced
from tests.hosts.deploy_app import ROOT, needs_deploy, run_python
from tests.io.dicom_objects.conftest import Series

pytestmark = [pytest.mark.slow, needs_deploy]

READ_PAIR = """
import sys
from pathlib import Path
import numpy as np
from monai.deploy.conditions import CountCondition
from monai.deploy.core import Fragment
from bundle.hosts.deploy.operators import PairReaderOperator
from bundle.hosts.deploy.source import find_pair
graph, folder = Fragment(), Path(sys.argv[1])
pair = find_pair(folder, {"fixed": "inhale", "moving": "exhale"})
reader = PairReaderOperator(graph, CountCondition(graph, 1), folder=folder, pair=pair, name="reader")
for key in pair:
    image = reader.read(key)
    np.savez(Path(sys.argv[2]) / key, hu=image.asnumpy(), affine=image.metadata()["affine"])
"""


def test_both_scans_are_read_as_the_bundle_reads_them(fixed: Series, moving: Series, tmp_path: Path) -> None:
    """Pixels that are no squares, a first slice without negative values; one scan is a multi-frame file, shuffled."""
    slices = sorted(moving.folder.iterdir())
    write_enhanced(tmp_path / "enhanced.dcm", slices, [3, 1, 11, 4, 0, 5, 9, 2, 6, 8, 7, 10])
    affine = {"fixed": check_header(fixed.folder).affine, "moving": check_header(moving.folder).affine}
    for file in slices:
        file.unlink()
    done = run_python("-c", READ_PAIR, tmp_path, tmp_path)
    assert done.returncode == 0, done.stderr
    for key, series in (("fixed", fixed), ("moving", moving)):
        volume = np.load(tmp_path / f"{key}.npz")
        np.testing.assert_array_equal(volume["hu"], series.hu)
        np.testing.assert_allclose(volume["affine"], affine[key].numpy(), atol=1e-6)


OTHER_WEIGHTS = """
import sys
from pathlib import Path
from monai.deploy.core import Fragment
from bundle.hosts.deploy.operators import RegistrationOperator
arguments = {"app_context": None, "output_dir": Path(sys.argv[2]), "bundle_path": Path(sys.argv[1])}
operator = RegistrationOperator(Fragment(), overrides={"spacing_mm": 4.0}, name="registration", **arguments)
operator._init_config(["inference"])
print(operator._inferer.passes.network_spacing_mm, operator.parser["spacing_mm"])
operator._model_network = operator.parser.get_parsed_content("network_def")
operator.predict(None, image=None, mask_net=None)
"""


def test_the_recipe_of_the_weights_is_read_from_any_folder_and_held_against_them(tmp_path: Path) -> None:
    code = f"import os, sys; sys.path.insert(0, {str(ROOT)!r}); os.chdir(sys.argv[2])\n" + OTHER_WEIGHTS
    done = run_python("-c", code, ROOT, tmp_path)
    assert done.stdout.splitlines()[-1] == "2.0 4.0", done.stderr
    assert "this recipe belongs to other weights" in done.stderr.splitlines()[-1]
