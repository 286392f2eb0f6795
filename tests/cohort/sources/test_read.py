from __future__ import annotations

import json
from pathlib import Path

import pytest

from bundle.cohort.sources import read_cohort, take_shard
from tests.formats.dicom.conftest import write_series

PAIR = {"name": "a", "fixed": "f.nii", "moving": "m.nii"}


def test_every_kind_of_list_gives_the_same_pairs_though_no_file_is_there(tmp_path: Path) -> None:
    expected = [{"name": "a", "fixed": str(tmp_path / "f.nii"), "moving": str(tmp_path / "m.nii")}]
    (tmp_path / "pairs.csv").write_text("name,fixed,moving\na,f.nii,m.nii\n")
    (tmp_path / "pairs.tsv").write_text("name\tfixed\tmoving\na\tf.nii\tm.nii\n")
    (tmp_path / "pairs.json").write_text(json.dumps({"test": [PAIR]}))
    (tmp_path / "other.json").write_text(json.dumps({"training": [PAIR], "test": []}))
    for place in ("pairs.csv", "pairs.tsv", "pairs.json", "other.json", "."):
        assert read_cohort(tmp_path / place) == (expected, [])


def test_a_folder_of_dicom_studies_gives_a_study_for_each_subfolder(tmp_path: Path) -> None:
    for name in ("p2", "p1"):
        write_series(tmp_path / name / "series")
    (tmp_path / ".hidden").mkdir()
    pairs, studies = read_cohort(tmp_path)
    assert pairs == []
    assert [(study.name, study.files) for study in studies] == [
        ("p1", (str(tmp_path / "p1"),)),
        ("p2", (str(tmp_path / "p2"),)),
    ]


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        ("gone.csv", None, r"gone\.csv: no such file or folder \(--pairs: expected a CSV or TSV file, a pairs\.json"),
        ("scan.nii.gz", "x", r"scan\.nii\.gz: expected a CSV or TSV file, .*, found another file"),
        ("p.csv", "name,fixed,moving\n.cohort,f,m\n", r"the name '\.cohort' becomes a folder and cannot begin with a"),
        (
            "p.csv",
            "name,fixed,moving\nstatus_1_of_2.jsonl,f,m\n",
            r"becomes a folder and cannot be a file of the cohort",
        ),
        ("p.csv", "name,fixed,moving\nindex.html,f,m\n", r"'index\.html' becomes a folder and cannot be a file of the"),
        ("p.csv", f"name,fixed,moving\n{'ä' * 101},f,m\n", r"becomes a folder and cannot have more than 200 bytes"),
        ("p.csv", 'name,fixed,moving\n"a\nb",f,m\n', r"'a\\nb' becomes a folder and cannot hold control characters"),
        ("p.json", json.dumps({"test": [PAIR | {"name": "\ud800"}]}), r"becomes a folder and cannot hold half charact"),
        ("p.json", "{", r"p\.json"),
    ],
)
def test_what_is_no_list_is_refused(name: str, text: str | None, words: str, tmp_path: Path) -> None:
    if text is not None:
        (tmp_path / name).write_text(text)
    with pytest.raises((FileNotFoundError, ValueError), match=words):
        read_cohort(tmp_path / name)


def test_an_empty_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"expected a pairs\.json, a BIDS folder or a folder for each DICOM study"):
        read_cohort(tmp_path)


@pytest.mark.parametrize("count", [1, 3, 10])
def test_shards_divide_the_pairs_and_differ_by_one_at_most(count: int) -> None:
    parts = [take_shard(range(25), f"{number}/{count}") for number in range(1, count + 1)]
    assert sorted(item for part in parts for item in part) == list(range(25))
    assert max(map(len, parts)) - min(map(len, parts)) <= 1
    assert take_shard(range(25), None) == list(range(25))


@pytest.mark.parametrize("text", ["0/10", "11/10", "3", "a/b", "3/0", "-1/3", "1/2/3", ""])
def test_another_shard_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="--shard: expected a number and a count such as 3/10"):
        take_shard([1], text)
