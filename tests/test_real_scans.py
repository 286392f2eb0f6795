"""Real CT: a follow-up pair nobody trained on."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
from monai.bundle import run

ROOT = Path(__file__).parents[1]
DATA = ROOT.parent / "shared" / "data"
PAIR = DATA / "followup_pair"
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not PAIR.exists(), reason="real scans are absent: the follow-up pair stays unchecked"),
]


def register(out: Path, folder: Path = PAIR, suffix: str = ".mha", **options: str | float | list[str]) -> Path:
    run(
        run_id="inference",
        config_file=str(ROOT / "configs" / "inference.json"),
        bundle_root=str(ROOT),
        fixed=str(folder / f"fixed{suffix}"),
        moving=str(folder / f"moving{suffix}"),
        output_dir=str(out),
        **options,
    )
    return out


def read_points(path: Path) -> np.ndarray:
    """elastix `point` file: LPS mm."""
    return np.loadtxt(path, skiprows=2)


def read_csv(path: Path) -> np.ndarray:
    return np.loadtxt(path, delimiter=",", skiprows=1)


@pytest.fixture(scope="module", params=["found masks", "given masks"])
def registered(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    masks = {}
    if request.param == "given masks":
        masks = {f"{key}_mask": str(PAIR / f"{key}_mask.mha") for key in ("fixed", "moving")}
    points = {f"{key}_landmarks": str(PAIR / f"{key}_points.txt") for key in ("fixed", "moving")}
    dense = ["displacement", "inverse"]
    return register(tmp_path_factory.mktemp("followup"), write=dense, **masks, **points)


def field_transform(path: Path) -> sitk.Transform:
    return sitk.DisplacementFieldTransform(sitk.Cast(sitk.ReadImage(str(path)), sitk.sitkVectorFloat64))


def lung() -> np.ndarray:
    return sitk.GetArrayFromImage(sitk.ReadImage(str(PAIR / "fixed_mask.mha"))) > 0


def test_every_stage_comes_closer_and_nothing_folds(registered: Path) -> None:
    scores = json.loads((registered / "report.json").read_text())["scores"]
    assert scores["tre_none_mm"] == pytest.approx(35.3, abs=0.1)
    assert scores["tre_aligned_mm"] <= 3.0
    assert scores["tre_mm"] <= 1.7
    assert scores["tre_p95_mm"] <= 3.3
    assert scores["folding_percent"] <= 0.1


def test_the_network_alone_improves_the_alignment(tmp_path: Path) -> None:
    points = {f"{key}_landmarks": str(PAIR / f"{key}_points.txt") for key in ("fixed", "moving")}
    scores = json.loads((register(tmp_path, refine="none", **points) / "report.json").read_text())["scores"]
    assert scores["tre_mm"] < scores["tre_aligned_mm"] - 0.2


def test_itk_reproduces_the_warped_scan_from_the_displacement_field(registered: Path) -> None:
    fixed = sitk.ReadImage(str(PAIR / "fixed.mha"))
    moving = sitk.ReadImage(str(PAIR / "moving.mha"), sitk.sitkFloat32)
    transform = field_transform(registered / "displacement.nii.gz")
    theirs = sitk.GetArrayFromImage(sitk.Resample(moving, fixed, transform, sitk.sitkLinear, -1000.0))
    warped = sitk.ReadImage(str(registered / "warped.nii.gz"))
    assert warped.GetSize() == fixed.GetSize()
    assert np.allclose(warped.GetOrigin(), fixed.GetOrigin(), atol=1e-3)
    assert np.allclose(warped.GetDirection(), fixed.GetDirection(), atol=1e-6)
    ours = sitk.GetArrayFromImage(warped).astype(float)
    assert np.abs(theirs - ours)[lung()].mean() <= 1.0


def test_itk_carries_the_landmarks_where_the_csv_says(registered: Path) -> None:
    transform = field_transform(registered / "displacement.nii.gz")
    theirs = np.array([transform.TransformPoint(point) for point in read_points(PAIR / "fixed_points.txt")])
    assert np.abs(theirs - read_csv(registered / "moving_landmarks.csv")).max() <= 0.05


def test_the_inverse_field_undoes_the_forward_field_inside_the_lung(registered: Path) -> None:
    forward = field_transform(registered / "displacement.nii.gz")
    back = field_transform(registered / "inverse_displacement.nii.gz")
    fixed = sitk.ReadImage(str(PAIR / "fixed.mha"))
    inside = np.argwhere(lung())[::501, ::-1]
    points = [fixed.TransformIndexToPhysicalPoint([int(i) for i in index]) for index in inside]
    error = [np.linalg.norm(np.subtract(back.TransformPoint(forward.TransformPoint(p)), p)) for p in points]
    assert np.percentile(error, 95) <= 0.5


def turned(image: sitk.Image, rotation: sitk.VersorTransform) -> sitk.Image:
    """The same voxels in a world turned about its origin: an oblique header."""
    turn = np.array(rotation.GetMatrix()).reshape(3, 3)
    image = sitk.Image(image)
    image.SetDirection((turn @ np.array(image.GetDirection()).reshape(3, 3)).ravel())
    image.SetOrigin(turn @ np.array(image.GetOrigin()))
    return image


VARIANTS = {
    "float32": lambda image: sitk.Cast(image, sitk.sitkFloat32),
    "flipped": lambda image: sitk.Flip(image, [True, False, True]),
    "permuted": lambda image: sitk.PermuteAxes(image, [2, 0, 1]),
    "oblique": lambda image: turned(image, TURN),
}
COARSE_MM = 4.0  # a network grid that takes seconds
TURN = sitk.VersorTransform((0.36, -0.48, 0.8), np.deg2rad(20))


@pytest.fixture(scope="module")
def coarsely_registered(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("coarse")
    return register(out, fixed_landmarks=str(PAIR / "fixed_points.txt"), spacing_mm=COARSE_MM)


@pytest.mark.parametrize("variant", VARIANTS)
def test_how_the_scans_are_stored_does_not_move_the_landmarks(
    variant: str, coarsely_registered: Path, tmp_path: Path
) -> None:
    for key in ("fixed", "moving"):
        image = sitk.ReadImage(str(PAIR / f"{key}.mha"))
        sitk.WriteImage(VARIANTS[variant](image), str(tmp_path / f"{key}.nrrd"))
    points = read_points(PAIR / "fixed_points.txt")
    expected = read_csv(coarsely_registered / "moving_landmarks.csv")
    if variant == "oblique":
        points = np.array([TURN.TransformPoint(point) for point in points])
        expected = np.array([TURN.TransformPoint(point) for point in expected])
    np.savetxt(tmp_path / "points.csv", points, delimiter=",", header="x,y,z", comments="")
    landmarks = str(tmp_path / "points.csv")
    out = register(tmp_path / "out", tmp_path, ".nrrd", fixed_landmarks=landmarks, spacing_mm=COARSE_MM)
    assert np.linalg.norm(read_csv(out / "moving_landmarks.csv") - expected, axis=1).max() <= 0.3
