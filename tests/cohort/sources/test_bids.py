from __future__ import annotations

from pathlib import Path

import pytest

from bundle.cohort.sources.bids import bids_pairs, is_bids


def write(folder: Path, *names: str) -> Path:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()
    return folder


@pytest.mark.parametrize(
    ("inhale", "exhale"),
    [("insp", "exp"), ("inspiration", "expiration"), ("Inhale", "Exhale"), ("TLC", "FRC"), ("fullinsp", "endexp")],
)
@pytest.mark.parametrize("entity", ["acq", "desc", "phase"])
def test_the_value_of_an_entity_says_which_scan_it_is(inhale: str, exhale: str, entity: str, tmp_path: Path) -> None:
    write(
        tmp_path,
        f"sub-01/ses-a/ct/sub-01_ses-a_{entity}-{inhale}_ct.nii.gz",
        f"sub-01/ses-a/ct/sub-01_ses-a_{entity}-{exhale}_ct.nii.gz",
        "sub-01/ses-a/ct/sub-01_ses-a_T1w.nii.gz",
        f"derivatives/masks/sub-01/ct/sub-01_{entity}-{inhale}_ct.nii.gz",
    )
    (pair,), studies = bids_pairs(tmp_path)
    assert studies == []
    assert pair["name"] == "sub-01_ses-a"
    assert Path(pair["fixed"]).name == f"sub-01_ses-a_{entity}-{inhale}_ct.nii.gz"
    assert Path(pair["moving"]).name == f"sub-01_ses-a_{entity}-{exhale}_ct.nii.gz"


def test_other_entities_keep_reconstructions_and_sessions_apart(tmp_path: Path) -> None:
    names = [
        f"sub-1/ses-{session}/ct/sub-1_ses-{session}_acq-{breath}_rec-{kernel}_ct.nii"
        for session in "ab"
        for breath in ("insp", "exp")
        for kernel in ("soft", "sharp")
    ]
    pairs, _ = bids_pairs(write(tmp_path, *names))
    assert [pair["name"] for pair in pairs] == [
        f"sub-1_ses-{session}_rec-{kernel}" for session in "ab" for kernel in ("sharp", "soft")
    ]
    for pair in pairs:
        assert Path(pair["fixed"]).name.replace("acq-insp", "acq-exp") == Path(pair["moving"]).name


def test_scans_without_such_words_are_studies_for_their_lung_volume(tmp_path: Path) -> None:
    write(tmp_path, "sub-1/ct/sub-1_run-1_ct.nii.gz", "sub-1/ct/sub-1_run-2_ct.nii.gz", "sub-2/ct/sub-2_ct.nii.gz")
    pairs, (study,) = bids_pairs(tmp_path)
    assert pairs == []
    assert study.name == "sub-1"
    assert [Path(file).name for file in study.files] == ["sub-1_run-1_ct.nii.gz", "sub-1_run-2_ct.nii.gz"]


def test_a_scan_without_a_partner_is_left_out_and_named(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    names = ["sub-1/ct/sub-1_acq-insp_ct.nii.gz", "sub-1/ct/sub-1_acq-exp_ct.nii.gz", "sub-2/sub-2_acq-exp_ct.nii.gz"]
    pairs, _ = bids_pairs(write(tmp_path, *names))
    assert [pair["name"] for pair in pairs] == ["sub-1"]
    assert "sub-2_acq-exp_ct.nii.gz: left out: no second scan to pair it with" in caplog.text


def test_two_scans_of_one_breath_are_refused(tmp_path: Path) -> None:
    write(tmp_path, "sub-1/ct/sub-1_acq-insp_ct.nii.gz", "sub-1/ct/sub-1_acq-inhale_ct.nii.gz")
    with pytest.raises(ValueError, match=r"expected one inhale scan, found .* as well; use a table of pairs"):
        bids_pairs(tmp_path)


def test_a_folder_is_bids_by_its_description_or_its_subjects(tmp_path: Path) -> None:
    assert not is_bids(tmp_path)
    assert not is_bids(write(tmp_path / "dicom", "sub-1/1.dcm"))
    assert is_bids(write(tmp_path / "a", "dataset_description.json"))
    assert is_bids(write(tmp_path / "b", "sub-1/ct/sub-1_ct.nii.gz"))
    with pytest.raises(ValueError, match="expected BIDS names such as sub-01/ct/sub-01_acq-insp_ct"):
        bids_pairs(tmp_path / "a")
