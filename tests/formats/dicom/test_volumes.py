from __future__ import annotations

from pathlib import Path

import pytest

from bundle.formats.dicom import find_volumes
from tests.formats.dicom.conftest import write_localizer, write_object, write_series
from tests.formats.dicom.test_phases import write_phases

PERCENT = "NominalPercentageOfRespiratoryPhase"


def test_all_phases_of_all_matching_series_are_found(tmp_path: Path) -> None:
    write_phases(tmp_path / "a", [{PERCENT: 0.0}, {PERCENT: 50.0}], SeriesDescription="gated")
    write_series(tmp_path / "b", SeriesDescription="average")
    write_localizer(tmp_path / "c")
    write_object(tmp_path / "d" / "pet.dcm", "1.2.840.10008.5.1.4.1.1.128", "PT")
    found = [(volume.series.description, volume.phase, len(volume.frames)) for volume in find_volumes(tmp_path)]
    assert sorted(found) == [("average", "", 10), ("gated", "0", 10), ("gated", "50", 10)]
    assert [volume.phase for volume in find_volumes(tmp_path, "GATED")] == ["0", "50"]


def test_a_choice_that_matches_nothing_lists_what_there_is(tmp_path: Path) -> None:
    write_series(tmp_path, SeriesDescription="average")
    with pytest.raises(ValueError, match="expected one volume for series 'gated', found 0") as error:
        find_volumes(tmp_path, "gated")
    assert "'average'" in str(error.value)
    with pytest.raises(FileNotFoundError, match="no DICOM file"):
        find_volumes(tmp_path / "empty")
