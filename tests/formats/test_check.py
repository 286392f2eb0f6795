from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bundle.formats import check_files, check_image_file, itk_scale
from tests.broken.nifti import valid
from tests.broken.text_headers import META, NRRD, meta_text, nrrd_text

VOXELS = bytes(2 * 8 * 9 * 10)
WHOLE = {"scan.nii": valid(), "scan.mha": meta_text(META) + VOXELS, "scan.nrrd": nrrd_text(NRRD) + VOXELS}
ROOT = Path(__file__).parents[2]
LOADED = "import sys, bundle.formats; sys.exit(sorted({'torch', 'monai', 'itk'} & sys.modules.keys()) != [])"
EXAMPLES = settings(
    max_examples=200,
    deadline=5000,  # ms, of one example on a busy machine: a damaged header must not hang
    database=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)


@pytest.mark.parametrize("name", WHOLE)
def test_a_whole_file_passes(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(WHOLE[name])
    header = check_image_file(tmp_path / name)
    assert header is not None
    assert header.shape == (8, 9, 10)
    assert header.spacing_mm == pytest.approx((0.7, 1.1, 2.5))
    assert itk_scale(tmp_path / name) == 1.0


@EXAMPLES
@given(name=st.sampled_from(sorted(WHOLE)), place=st.integers(0, 600), content=st.binary(min_size=1, max_size=24))
def test_overwritten_headers_pass_or_are_refused_with_the_name(
    tmp_path: Path, name: str, place: int, content: bytes
) -> None:
    whole = WHOLE[name]
    (tmp_path / name).write_bytes(whole[:place] + content + whole[place + len(content) :])
    check_or_refuse(tmp_path / name)


@EXAMPLES
@given(name=st.sampled_from(sorted(WHOLE)), cut=st.integers(0, 2000))
def test_files_cut_anywhere_are_refused_with_the_name(tmp_path: Path, name: str, cut: int) -> None:
    content = WHOLE[name][:cut]
    (tmp_path / name).write_bytes(content)
    if len(content) < len(WHOLE[name]):
        with pytest.raises((ValueError, FileNotFoundError), match=name.replace(".", r"\.")):
            check_image_file(tmp_path / name)


@EXAMPLES
@given(
    field=st.sampled_from(sorted(META)),
    value=st.text(st.characters(codec="latin-1", exclude_characters="\r\n"), max_size=40)
    | st.lists(st.floats() | st.integers(), max_size=9).map(lambda values: " ".join(map(str, values))),
)
def test_any_value_of_any_field_passes_or_is_refused_with_the_name(tmp_path: Path, field: str, value: str) -> None:
    (tmp_path / "scan.mha").write_bytes(meta_text({**META, field: value}) + VOXELS)
    check_or_refuse(tmp_path / "scan.mha")
    key = sorted(NRRD)[sorted(META).index(field) % len(NRRD)]
    (tmp_path / "scan.nrrd").write_bytes(nrrd_text({**NRRD, key: value}) + VOXELS)
    check_or_refuse(tmp_path / "scan.nrrd")


def check_or_refuse(path: Path) -> None:
    try:
        check_image_file(path)
    except (ValueError, FileNotFoundError) as error:
        assert path.name in str(error)  # noqa: PT017  # any other error fails, and passing is no fault


def test_the_files_of_a_command_are_checked_by_option(tmp_path: Path) -> None:
    (tmp_path / "scan.nii").write_bytes(WHOLE["scan.nii"])
    check_files({"fixed": tmp_path / "scan.nii", "fixed_mask": None}, {"weights": tmp_path / "scan.nii", "write": ""})
    with pytest.raises(FileNotFoundError, match=r"none\.pt: no such file \(--weights\)"):
        check_files({}, {"weights": tmp_path / "none.pt"})
    with pytest.raises(FileNotFoundError, match=r"none\.nii: no such file or folder \(expected NIfTI, MHA/MHD, NRRD"):
        check_files({"fixed": tmp_path / "none.nii"}, {})


def test_headers_are_checked_before_torch_and_itk_are_loaded() -> None:
    done = subprocess.run([sys.executable, "-c", LOADED], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
