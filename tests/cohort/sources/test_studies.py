from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from pydicom.uid import MRImageStorage, generate_uid

from bundle.cohort.sources.studies import BreathSorter, Candidate, candidates_of, choose_pair, find_studies
from bundle.series import Member
from tests.chest import Chest, render
from tests.formats.dicom.conftest import edit
from tests.grids import make_affine
from tests.io.conftest import write_dicom_series
from tests.series.chests import write_water

SHAPE = (44, 40, 38)


def write_breath(folder: Path, scale: float, **attributes: Any) -> Path:
    """A series of a chest whose lungs have `scale`³ times their volume."""
    to_chest = torch.diag(torch.tensor([1 / scale, 1 / scale, 1 / scale, 1.0], dtype=torch.float64))
    affine = make_affine(SHAPE, (5.0, 4.5, 5.5), angles_deg=(0, 0, 180))
    scan = render(Chest(), SHAPE, affine, to_chest=to_chest)
    voxels = scan[0].as_tensor().round().short().numpy() + 1024
    write_dicom_series(folder, voxels, affine, intercept=-1024, **attributes)
    return folder


def test_the_larger_lungs_are_fixed_whatever_the_order_and_names(tmp_path: Path) -> None:
    study = generate_uid()
    series = {"small": generate_uid(), "large": generate_uid()}
    write_breath(
        tmp_path / "p" / "1", 0.85, SeriesDescription="INSP", StudyInstanceUID=study, SeriesInstanceUID=series["small"]
    )
    write_breath(
        tmp_path / "p" / "2", 1.0, SeriesDescription="EXP", StudyInstanceUID=study, SeriesInstanceUID=series["large"]
    )
    (found,) = find_studies(tmp_path)
    (pair,) = BreathSorter()({"name": found.name, "files": found.files})["pairs"]
    assert (pair["name"], pair["fixed"], pair["moving"]) == ("p", str(tmp_path / "p"), str(tmp_path / "p"))
    assert (pair["fixed_series"], pair["moving_series"]) == (series["large"], series["small"])
    ratio = float(pair["moving_lungs_ml"]) / float(pair["fixed_lungs_ml"])
    assert ratio == pytest.approx(0.85**3, rel=0.06)
    assert pair["note"].startswith("inhale 'EXP', exhale 'INSP'")


def test_two_studies_in_a_folder_are_two_pairs(tmp_path: Path) -> None:
    for number, study in enumerate((generate_uid(), generate_uid())):
        for name, scale in (("a", 1.0), ("b", 0.85)):
            write_breath(tmp_path / f"{number}{name}", scale, StudyInstanceUID=study, SeriesInstanceUID=generate_uid())
    rows = BreathSorter()({"name": "p", "files": (str(tmp_path),)})["pairs"]
    assert [row["name"] for row in rows] == ["p_1", "p_2"]
    assert len({row[key] for row in rows for key in ("fixed_series", "moving_series")}) == 4


def candidate(name: str, kernel: str = "", slice_mm: float = 1.0) -> Candidate:
    return Candidate(Member(name, "/study", name), "1.2", kernel, slice_mm)


def test_of_several_reconstructions_one_kernel_is_taken_then_the_thinnest_slices() -> None:
    scans = [
        candidate("insp sharp thick", "B60f", 2.0),
        candidate("insp soft", "B31f", 1.0),
        candidate("exp sharp", "B60f", 1.0),
        candidate("insp sharp", "B60f", 0.5),
        candidate("localizer"),
    ]
    row = choose_pair(scans, [5010.0, 5000.0, 3000.0, 4990.0, 0.0])
    assert (row["fixed_series"], row["moving_series"]) == ("insp sharp", "exp sharp")
    assert "'insp soft' 5000 ml" in row["note"]


@pytest.mark.parametrize(
    ("volumes", "words"),
    [
        (
            [5000.0, 4800.0],
            "/study: expected an exhale and an inhale scan, found lungs of one size: 'a' 5000 ml, 'b' 4800",
        ),
        ([5000.0, 0.0], "/study: expected two scans with lungs, found 'a' 5000 ml, 'b' 0 ml"),
    ],
)
def test_scans_that_are_no_pair_are_refused(volumes: list[float], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        choose_pair([candidate("a"), candidate("b")], volumes)


def test_series_that_cannot_be_volumes_are_no_candidates(tmp_path: Path) -> None:
    whole = write_breath(tmp_path / "whole", 1.0, SeriesInstanceUID=generate_uid(), ConvolutionKernel="B31f")
    broken = write_breath(tmp_path / "broken", 1.0, SeriesInstanceUID=generate_uid())
    sorted(broken.iterdir())[10].unlink()
    for file in write_breath(tmp_path / "mr", 1.0, SeriesInstanceUID=generate_uid()).iterdir():
        edit(file, Modality="MR", SOPClassUID=MRImageStorage)
    (found,) = candidates_of(str(tmp_path))
    (alone,) = candidates_of(str(whole))
    assert found.member.choice == alone.member.choice
    assert (found.kernel, found.slice_mm) == ("B31f", pytest.approx(5.5))


def test_a_study_without_lungs_says_so(tmp_path: Path) -> None:
    files = tuple(str(write_water(tmp_path / f"{name}.nii.gz")) for name in "ab")
    with pytest.raises(ValueError, match=r"a\.nii\.gz: expected two scans with lungs, found 'a\.nii\.gz' 0 ml"):
        BreathSorter()({"name": "p", "files": files})
