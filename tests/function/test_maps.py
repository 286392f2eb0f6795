from __future__ import annotations

import numpy as np
import pytest

from bundle.function import NAMES, MapOptions, ResponseThresholds
from bundle.function.maps import KINDS, compute_maps, rounded
from tests.function.breaths import UNIFORM, make_scans

MAX_DESCRIP = 79  # bytes of NIfTI's descrip, less the final 0


CORRECTED = MapOptions(smooth_mm=12.75, prm_filter="gaussian", mass_correction=True)


@pytest.mark.parametrize("options", [MapOptions(), CORRECTED])
@pytest.mark.parametrize("exhale", ["fixed", "moving"])
def test_header_and_name_state_the_smoothing(options: MapOptions, exhale: str) -> None:
    for kind in KINDS.values():
        text = options.header_of(kind, exhale)  # type: ignore[arg-type]
        assert len(text.encode("ascii")) <= MAX_DESCRIP
        assert f"exhale={exhale}" in text
        if kind.name == "prm":
            assert "-950/-856 HU" in text
            assert options.file_of(kind) == f"prm_filter_{options.prm_filter}.nii.gz"
        else:
            assert text.endswith(f"Gauss s {options.smooth_mm:g} mm")
            assert options.file_of(kind).endswith(f"_smooth_{options.smooth_mm:g}mm.nii.gz")
    assert ("mass_corrected" in options.file_of(KINDS["hu_ventilation"])) == options.mass_correction


def test_thresholds_are_in_the_header() -> None:
    options = MapOptions(thresholds=ResponseThresholds(-910.0, -850.5))
    assert "-910/-850.5 HU" in options.header_of(KINDS["prm"], "moving")


@pytest.mark.parametrize(
    ("maps", "names"),
    [("all", list(NAMES)), ("prm, strain", ["prm", "strain"]), (["sacj", "sacj"], ["sacj"])],
)
def test_maps_are_chosen_by_name(maps: str | list[str], names: list[str]) -> None:
    assert MapOptions(maps=maps).names == names


@pytest.mark.parametrize(
    ("values", "match"),
    [
        ({"maps": "prm,jacobian"}, "maps: expected all, or some of volume_change.*got jacobian"),
        ({"maps": ""}, "maps: expected all.*got none"),
        ({"smooth_mm": -1.0}, "smooth_mm: expected 0 to 50 mm, got -1"),
        ({"smooth_mm": float("nan")}, "smooth_mm: expected 0 to 50 mm, got nan"),
        ({"smooth_mm": "abc"}, "smooth_mm: expected 0 to 50 mm, got abc"),
        ({"exhale": "inhale"}, "exhale: expected fixed or moving, got 'inhale'"),
        ({"prm_filter": "mean"}, "prm_filter: expected one of median, gaussian, none, got 'mean'"),
    ],
)
def test_wrong_options_are_refused(values: dict[str, object], match: str) -> None:
    with pytest.raises(ValueError, match=match):
        MapOptions(**values)  # type: ignore[arg-type]


def test_every_map_is_computed_once_in_the_lung_voxels() -> None:
    breath = make_scans(UNIFORM).breath()
    found = {kind.name: values for kind, values in compute_maps(breath, MapOptions())}
    assert list(found) == [*NAMES[:-1], "stretch1", "stretch2", "stretch3", "adi", "sri"]
    assert {values.shape for values in found.values()} == {(int(breath.inside.sum()),)}


def test_values_are_rounded_to_their_step() -> None:
    values = np.array([0.12345, np.nan, -1.0001], np.float32)
    np.testing.assert_allclose(rounded(KINDS["saj"], values), [126 / 1024, np.nan, -1.0], rtol=0)
