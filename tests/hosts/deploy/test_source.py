from __future__ import annotations

import re
from pathlib import Path

import pytest

from bundle.hosts.deploy.source import find_pair
from tests.formats.dicom.conftest import edit
from tests.io.dicom_objects.conftest import MOVING_SHAPE, Series, make_series

PAIR = {"fixed": "inhale", "moving": "exhale"}


def test_the_headers_of_a_pair_come_in_the_order_of_their_positions(
    fixed: Series, moving: Series, tmp_path: Path
) -> None:
    for index, file in enumerate(sorted(moving.folder.iterdir())):
        file.rename(file.with_name(f"IM{(index * 7) % 12}"))
    pair = find_pair(tmp_path, PAIR)
    for key, series in (("fixed", fixed), ("moving", moving)):
        found = [header.SOPInstanceUID for header in pair[key].slices]
        assert found == [slice_.SOPInstanceUID for slice_ in series.slices]
        assert "PixelData" not in pair[key].slices[0]


def test_two_phases_of_one_series_are_a_pair(tmp_path: Path) -> None:
    for phase in (0, 50):
        make_series(
            tmp_path / str(phase),
            MOVING_SHAPE,
            seed=3,
            SeriesInstanceUID="1.2.3",
            SeriesDescription="gated",
            NominalPercentageOfRespiratoryPhase=float(phase),
        )
    pair = find_pair(tmp_path, {"fixed": "gated#0", "moving": "GATED#50%"})
    for key, folder in (("fixed", "0"), ("moving", "50")):
        assert {Path(header.filename).parent.name for header in pair[key].slices} == {folder}
    with pytest.raises(ValueError, match=r"expected two scans, found series 1\.2\.3#50 for both"):
        find_pair(tmp_path, {"fixed": "gated#50", "moving": "#50"})
    with pytest.raises(ValueError, match=r"2 phases by .*one of 0, 50, found none: .* \(--moving_series\)"):
        find_pair(tmp_path, {"fixed": "gated#0", "moving": "gated"})


@pytest.mark.parametrize(
    ("attributes", "message"),
    [
        ({"PatientID": "18"}, r"fixed and moving series: expected one patient, got PatientID \['17', '18'\]"),
        ({"FrameOfReferenceUID": None}, r"000\.dcm: the moving series has no FrameOfReferenceUID"),
        (
            {"Modality": "MR", "SOPClassUID": "1.2.840.10008.5.1.4.1.1.4"},
            r"expected a CT for --moving_series, found series .*'exhale', MR, 12 slices",
        ),
    ],
)
@pytest.mark.usefixtures("fixed")
def test_pairs_that_cannot_be_registered_are_refused(
    moving: Series, tmp_path: Path, attributes: dict[str, str | None], message: str
) -> None:
    for file in moving.folder.iterdir():
        edit(file, **attributes)
    with pytest.raises(ValueError, match=message):
        find_pair(tmp_path, PAIR)


def test_what_matches_several_series_or_none_is_refused_with_a_list(fixed: Series, tmp_path: Path) -> None:
    uid = fixed.slices[0].SeriesInstanceUID
    for index in (2, 3):
        make_series(tmp_path / str(index), MOVING_SHAPE, seed=index, SeriesDescription=f"exhale {index}")
    with pytest.raises(ValueError, match=r"series 'exhale', found 2; choose one by .* \(--moving_series\)") as error:
        find_pair(tmp_path, PAIR)
    assert f"  {uid} 'inhale', CT, 10 slices, 0.7 x 1.1 x 2.5 mm" in str(error.value)
    with pytest.raises(ValueError, match=re.escape("series 'lung', found 0; choose one by a UID or")):
        find_pair(tmp_path, {"fixed": "lung", "moving": "exhale 2"})
    with pytest.raises(ValueError, match=rf"expected two scans, found series {re.escape(uid)} for both"):
        find_pair(tmp_path, {"fixed": "INHALE", "moving": uid})


@pytest.mark.usefixtures("fixed")
def test_a_missing_slice_is_named(moving: Series, tmp_path: Path) -> None:
    (moving.folder / "004.dcm").unlink()
    with pytest.raises(
        ValueError, match=r"1 missing slice: expected 2\.500 mm, found 5\.000 mm between moving/003\.dcm at"
    ):
        find_pair(tmp_path, PAIR)
