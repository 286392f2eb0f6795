from __future__ import annotations

import re
from pathlib import Path

import pytest

from bundle.formats.dicom import find_volume
from tests.formats.dicom.conftest import uid_of, write_series


def test_of_two_reconstructions_one_is_chosen_from_a_list(disc: Path) -> None:
    sharp = uid_of(disc / "S1" / "A" / "000")
    soft = uid_of(write_series(disc / "S1" / "B", SeriesDescription="Thorax soft", ConvolutionKernel=["Br40", "3"])[0])
    with pytest.raises(ValueError, match=re.escape(f"{disc}: expected one CT series, found 2; choose one by")) as error:
        find_volume(disc)
    first, *lines = str(error.value).splitlines()
    assert first.endswith("a UID or a regular expression on the description (--fixed_series or --moving_series):")
    assert f"  {sharp} 'Thorax 1.0', CT, kernel B60f, 10 slices, 0.7 x 1.1 x 2.5 mm" in lines
    assert f"  {soft} 'Thorax soft', CT, kernel Br40/3, 10 slices, 0.7 x 1.1 x 2.5 mm" in lines
    assert len(lines) == 8
    for choice, folder in ((sharp, "A"), (soft, "B"), ("SOFT", "B"), (r"thorax\s1", "A"), ("1.0$", "A")):
        assert {Path(frame.file).parent.name for frame in find_volume(disc, choice).frames} == {folder}


@pytest.mark.parametrize(
    ("choice", "message"),
    [
        ("thorax", r"expected one volume for series 'thorax', found 2; choose one by .*:\n  "),
        ("topogram", r"expected one volume for series 'topogram', found 0; choose one by"),
        ("1.2.3.4.5", r"expected one volume for series '1\.2\.3\.4\.5', found 0"),
        ("1.2.3.4.6", r"expected one volume for series '1\.2\.3\.4\.6', found 0"),
        ("(soft", r"for series '\(soft', found 0 \(nor is it a regular expression: missing \)"),
    ],
)
def test_a_choice_must_match_one_volume(disc: Path, choice: str, message: str) -> None:
    write_series(disc / "S1" / "B", SeriesDescription="Thorax soft")
    with pytest.raises(ValueError, match=message):
        find_volume(disc, choice)


@pytest.mark.parametrize("bad", ["(soft", "*", "C+++", "[", "a{99999999999}", "(?P<x", "\\"])
def test_no_regular_expression_is_refused_with_the_list(disc: Path, bad: str) -> None:
    with pytest.raises(
        ValueError, match=re.escape(f"{disc}: expected one volume for series {bad!r}, found 0")
    ) as error:
        find_volume(disc, bad)
    assert "nor is it a regular expression" in str(error.value)
    assert "'Thorax 1.0'" in str(error.value)


@pytest.mark.parametrize(
    ("description", "other"),
    [
        ("Lung [B70f] (1.0)", "Lung B (1.0)"),
        ("THORAX C+", "THORAX CC"),
        ("THORAX C+", "THORAX C+ late"),
        ("Lung 1.0", "Lung 110"),
        ("(Lung", "Lung"),
        ("Ax. *lung*", "Ax.  lung"),
        ("Lung #2", "Lung #1"),
        ("Thorax::2", "Thorax"),
    ],
)
def test_a_description_is_chosen_by_its_own_text(tmp_path: Path, description: str, other: str) -> None:
    write_series(tmp_path / "a", SeriesDescription=description)
    write_series(tmp_path / "b", SeriesDescription=other)
    for choice in (description, description.lower(), f" {description} ", description.replace("#", "::")):
        assert {Path(frame.file).parent.name for frame in find_volume(tmp_path, choice).frames} == {"a"}


@pytest.mark.parametrize("choice", ["[B70f]", "lung [b70f", "B70f] (1.0", r"b70f\]", "^Lung.*0.$"])
def test_a_part_of_a_description_or_an_expression_in_it_chooses(tmp_path: Path, choice: str) -> None:
    write_series(tmp_path / "a", SeriesDescription="Lung [B70f] (1.0)")
    write_series(tmp_path / "b", SeriesDescription="Thorax [B30f] 5")
    assert {Path(frame.file).parent.name for frame in find_volume(tmp_path, choice).frames} == {"a"}


def test_the_description_of_what_is_no_volume_is_no_expression_for_another(tmp_path: Path) -> None:
    for file in write_series(tmp_path / "a", SeriesDescription="Lung (1.0)")[1:]:
        file.unlink()
    write_series(tmp_path / "b", SeriesDescription="Lung 1.0")
    with pytest.raises(ValueError, match=r"for series 'Lung \(1\.0\)', found 0"):
        find_volume(tmp_path, "Lung (1.0)")


@pytest.mark.parametrize("description", ["gated C+", "gated #2", "gated (0-90%)"])
def test_a_phase_follows_the_text_of_a_description(tmp_path: Path, description: str) -> None:
    for number in (1, 2):
        attributes = {"SeriesInstanceUID": "1.2.3", "SeriesDescription": description, "AcquisitionNumber": number}
        write_series(tmp_path / str(number), **attributes)
    for choice in (f"{description}#1", "1.2.3#1", "#1"):
        assert {Path(frame.file).parent.name for frame in find_volume(tmp_path, choice).frames} == {"1"}
    with pytest.raises(ValueError, match="has 2 phases by AcquisitionNumber"):
        find_volume(tmp_path, description)


def test_a_description_of_digits_and_a_short_uid_can_be_chosen(tmp_path: Path) -> None:
    write_series(tmp_path / "a", SeriesDescription="301")
    write_series(tmp_path / "b", SeriesInstanceUID="1.2.3", SeriesDescription="302")
    for choice, folder in (("301", "a"), ("302", "b"), ("1.2.3", "b")):
        assert {Path(frame.file).parent.name for frame in find_volume(tmp_path, choice).frames} == {folder}


def test_ct_goes_before_other_modalities_that_match(tmp_path: Path) -> None:
    write_series(tmp_path / "ct", SeriesDescription="thorax")
    pet = {"Modality": "PT", "SOPClassUID": "1.2.840.10008.5.1.4.1.1.128"}
    uid = uid_of(write_series(tmp_path / "pet", SeriesDescription="thorax", **pet)[0])
    assert {Path(frame.file).parent.name for frame in find_volume(tmp_path, "thorax").frames} == {"ct"}
    assert {Path(frame.file).parent.name for frame in find_volume(tmp_path, uid).frames} == {"pet"}


def test_errors_name_the_option_that_chooses(tmp_path: Path) -> None:
    for name in ("a", "b"):
        write_series(tmp_path / name)
    with pytest.raises(ValueError, match=r"regular expression on the description \(--input_series\):\n"):
        find_volume(tmp_path, option="--input_series")
