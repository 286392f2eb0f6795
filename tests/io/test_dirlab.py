from pathlib import Path

import numpy as np
import pytest
import torch

from bundle.io import read_landmarks_mm
from bundle.io.dirlab import AIR_HU, GRIDS, DirlabCase, find_cases

# folder, images and landmarks of each phase, as the published archives spell them
COPD = ("copd{n}/copd{n}", "copd{n}_{p}BHCT.img", "copd{n}_300_{p}BH_xyz_r1.txt", ("i", "e"))
LAYOUTS = {
    "copd1": COPD,
    "copd10": COPD,
    "4dct1": ("Case1Pack", "Images/case1_T{p}_s.img", "ExtremePhases/Case1_300_T{p}_xyz.txt", ("00", "50")),
    "4dct2": ("Case2Pack", "Images/case2_T{p}-ssm.img", "ExtremePhases/Case2_300_T{p}_xyz.txt", ("00", "50")),
    "4dct6": ("Case6Pack", "Images/case6_T{p}.img", "extremePhases/case6_dirLab300_T{p}_xyz.txt", ("00", "50")),
    "4dct8": ("Case8Deploy", "Images/case8_T{p}.img", "extremePhases/case8_dirLab300_T{p}_xyz.txt", ("00", "50")),
}


def write_case(root: Path, name: str, raw: np.ndarray | None = None, *, rows: str = "1 1 1\n2\t3\t4\t\n") -> None:
    """Write the files of one case; without voxels they are sparse files of the published size."""
    folder, image, landmarks, phases = LAYOUTS[name]
    number = int("".join(filter(str.isdigit, name.removeprefix("4d"))))
    collection = "COPDgene" if name.startswith("copd") else "4DCT"
    for phase in phases:
        base = root / folder.format(n=number)
        path = base / image.format(n=number, p=phase)
        path.parent.mkdir(parents=True, exist_ok=True)
        if raw is None:
            with path.open("wb") as file:
                file.truncate(2 * int(np.prod(GRIDS[collection][number][:3])))
        else:
            path.write_bytes(raw.astype("<i2").tobytes(order="F"))
        points = base / landmarks.format(n=number, p=phase)
        points.parent.mkdir(parents=True, exist_ok=True)
        points.write_text(rows)


@pytest.fixture
def small_copd1(monkeypatch: pytest.MonkeyPatch) -> tuple[int, int, int]:
    shape = (6, 7, 8)
    monkeypatch.setitem(GRIDS["COPDgene"], 1, (*shape, 0.625))
    return shape


@pytest.mark.parametrize("name", LAYOUTS)
def test_every_naming_variant_is_found_complete(tmp_path: Path, name: str) -> None:
    write_case(tmp_path / "deep" / "down", name)
    cases = {case.name: case for case in find_cases(tmp_path)}
    assert len(cases) == 10
    case = cases[name]
    phases = LAYOUTS[name][3]
    for role, phase in zip(("fixed", "moving"), phases, strict=True):
        assert f"_{phase}" in case.file(role).name.replace("_T", "_")
        assert phase in case.file(f"{role}_landmarks").name
    assert [other for other in cases.values() if other.files] == [case]


def test_names_are_matched_in_any_case_and_other_files_ignored(tmp_path: Path) -> None:
    for name in ("COPD3_IBHCT.IMG", "copd3_eBHct.img", "._copd3_iBHCT.img", "copd11_iBHCT.img", "case1_T10_s.img"):
        (tmp_path / name).touch()
    case = next(case for case in find_cases(tmp_path) if case.files)
    assert case.name == "copd3"
    assert case.file("fixed").name == "COPD3_IBHCT.IMG"
    with pytest.raises(FileNotFoundError, match="copd3: the fixed landmarks file is missing"):
        case.file("fixed_landmarks")


def test_a_file_found_twice_is_refused(tmp_path: Path) -> None:
    write_case(tmp_path / "a", "copd1")
    write_case(tmp_path / "b", "copd1")
    with pytest.raises(ValueError, match=r"copd1: expected one fixed file, got 2: .*a/.*copd1_iBHCT\.img, .*b/"):
        find_cases(tmp_path)[0].file("fixed")


def test_voxels_keep_their_order_and_become_hounsfield_units(tmp_path: Path, small_copd1: tuple[int, int, int]) -> None:
    raw = np.arange(336).reshape(small_copd1).astype(np.int16) + 100
    raw[0, 0, 0], raw[1, 2, 3], raw[5, 6, 7] = -2000, 0, 4095
    write_case(tmp_path, "copd1", raw)
    volume_hu = find_cases(tmp_path)[0].read_volume_hu("fixed")
    assert volume_hu.dtype == np.int16
    assert (volume_hu[0, 0, 0], volume_hu[1, 2, 3], volume_hu[5, 6, 7]) == (AIR_HU, -1024, 3071)
    padding = raw < 0
    np.testing.assert_array_equal(volume_hu[~padding], raw[~padding] - 1024)


def test_landmarks_count_from_one_on_axes_right_to_left_front_to_back_top_to_bottom(
    tmp_path: Path, small_copd1: tuple[int, int, int]
) -> None:
    write_case(tmp_path, "copd1")
    case = find_cases(tmp_path)[0]
    points = read_landmarks_mm(case.file("fixed_landmarks"), case.header("fixed"))
    # (1, 1, 1) is the first voxel; one step left, two back, three down, in RAS mm
    torch.testing.assert_close(points[0], torch.zeros(3, dtype=torch.float64))
    torch.testing.assert_close(points[1], torch.tensor([-0.625, -1.25, -7.5], dtype=torch.float64))


def test_a_truncated_volume_is_refused_with_both_sizes(tmp_path: Path, small_copd1: tuple[int, int, int]) -> None:
    write_case(tmp_path, "copd1", np.zeros((6, 7, 7), np.int16))
    with pytest.raises(ValueError, match=r"copd1_iBHCT\.img: expected 672 bytes \(6 x 7 x 8 voxels.*found 588"):
        find_cases(tmp_path)[0].read_volume_hu("fixed")


def test_a_folder_without_dirlab_files_is_refused(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"expected files such as copd1_iBHCT\.img .*, got none"):
        find_cases(tmp_path)
    with pytest.raises(FileNotFoundError, match="no such folder"):
        find_cases(tmp_path / "none")


def test_a_case_at_published_size_is_read(tmp_path: Path) -> None:
    write_case(tmp_path, "4dct1")
    case: DirlabCase = next(case for case in find_cases(tmp_path) if case.files)
    assert case.read_volume_hu("moving").shape == (256, 256, 94)
    assert case.header("moving").spacing_mm == pytest.approx((0.97, 0.97, 2.5))
