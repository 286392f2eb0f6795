from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Sequence
from functools import cache
from math import sqrt
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import nibabel as nib
import numpy as np
import pytest
import SimpleITK as sitk
import torch
from monai.data import MetaTensor
from monai.transforms import LoadImaged
from PIL import Image
from torch import Tensor

from bundle.data import PairFiles, pairs_to_register
from bundle.geometry import apply_affine, swap_ras_lps
from bundle.io import read_landmarks
from bundle.io.transform_file import INVERSE_PRECISION_MM
from bundle.lung import LungRegiond
from bundle.quality import Evidence, Verdict
from bundle.reports import SaveRegistrationd, ScoreRegistrationd, save_registration
from bundle.reports.save_registration import JACOBIAN_STEP
from bundle.transforms import (
    ContentHashd,
    InitialAlignmentd,
    MapLandmarksd,
    NetworkGridd,
    ReadInitialTransformd,
    ReadLandmarksd,
    ResultsOnNativeGridsd,
    ResultsOnNetworkGridd,
    TimedCompose,
    world_transform,
)
from tests.conftest import SyntheticPair
from tests.grids import from_sitk, steepness, to_sitk, waves_vox
from tests.io.test_transform_file import rounding_mm
from tests.recipes import make_recipe

SIZE = (32, 32, 48)
FILES = [
    "inverse_transform.h5",
    "jacobian.nii.gz",
    "moving_landmarks.csv",
    "moving_landmarks.mrk.json",
    "overview.png",
    "quality.json",
    "report.html",
    "report.json",
    "transform.h5",
    "warped.nii.gz",
]
DENSE, DENSE_FILES = ["displacement", "inverse"], ["displacement.nii.gz", "inverse_displacement.nii.gz"]

Register = Callable[..., tuple[SyntheticPair, dict[str, Any]]]


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    (tmp_path / "model.pt").write_bytes(b"weights")
    return tmp_path / "model.pt"


@pytest.fixture(scope="module")
def registered(synthetic_pair: Callable[..., SyntheticPair], tmp_path_factory: pytest.TempPathFactory) -> Register:
    """Everything inference does before it writes, with a smooth field in the network's place; done once."""

    @cache
    def run(*, without: tuple[str, ...] = (), amplitude_vox: float = 1.0) -> tuple[SyntheticPair, dict[str, Any]]:
        written = synthetic_pair()
        given = {key: path for key, path in written.item.items() if key != "name" and key not in without}
        (item,) = pairs_to_register(output_dir=tmp_path_factory.mktemp("out"), pair=PairFiles(**given))
        before = TimedCompose(
            [
                LoadImaged(
                    ["fixed", "moving", "fixed_mask", "moving_mask"],
                    reader="bundle.io.ScanReader",
                    ensure_channel_first=True,
                    allow_missing_keys=True,
                ),
                ContentHashd(["fixed", "moving"]),
                ReadLandmarksd(),
                ReadInitialTransformd(),
                LungRegiond(["fixed", "moving"]),
                InitialAlignmentd(),
                NetworkGridd(spatial_size=SIZE),
                _add_image,
            ]
        )
        steps = [MapLandmarksd(), ResultsOnNetworkGridd(), ResultsOnNativeGridsd(), ScoreRegistrationd()]
        after = TimedCompose(steps, inferer=SimpleNamespace(seconds_by_step={"Network": 1.0}))
        pair = before(item)
        pair["pred"] = waves_vox(SIZE, amplitude_vox=amplitude_vox, periods=0.5)[0]
        return written, after(pair)

    return run


@pytest.fixture
def register(registered: Register, tmp_path: Path) -> Register:
    """A registered pair that writes into a folder of this test."""

    def run(**options: Any) -> tuple[SyntheticPair, dict[str, Any]]:
        written, pair = registered(**options)
        verdict = Verdict("ok", ())
        return written, {**pair, "evidence": Evidence(), "verdict": verdict, "output_dir": str(tmp_path / "out")}

    return run


def _add_image(pair: dict[str, Any]) -> dict[str, Any]:
    return {**pair, "image": torch.cat([pair["fixed_net"], pair["moving_net"]]).clamp(-1000, -100) / 900}


def save(pair: dict[str, Any], weights: Path, *, write: Sequence[str] = ()) -> Path:
    SaveRegistrationd(weights=weights, recipe=make_recipe(), write=write)(pair)
    return Path(pair["output_dir"])


def field_of(path: Path) -> sitk.DisplacementFieldTransform:
    return sitk.DisplacementFieldTransform(sitk.ReadImage(path, sitk.sitkVectorFloat64))


def read_csv(path: Path) -> np.ndarray:
    assert path.read_text().splitlines()[0] == "x,y,z"
    return np.loadtxt(path, delimiter=",", skiprows=1)


def test_simpleitk_makes_the_warped_scan_from_the_displacement(register: Register, weights: Path) -> None:
    written, pair = register()
    out = save(pair, weights, write=DENSE)
    fixed, moving = sitk.ReadImage(written.item["fixed"]), sitk.ReadImage(written.item["moving"])
    transform = field_of(out / "displacement.nii.gz")
    expected = from_sitk(sitk.Resample(moving, fixed, transform, sitk.sitkLinear, -1000.0, sitk.sitkFloat64))
    image = sitk.ReadImage(out / "warped.nii.gz")
    assert image.GetPixelID() == sitk.sitkInt16
    warped = from_sitk(image)
    inside = from_sitk(sitk.ReadImage(written.item["fixed_mask"])) > 0
    difference = (warped - expected).abs()[inside]
    assert difference.mean() < 0.5  # HU are rounded to whole numbers: 0.25 on average
    assert difference.max() < 2.0


def test_simpleitk_makes_the_warped_scan_from_the_itk_transform(register: Register, weights: Path) -> None:
    written, pair = register()
    out = save(pair, weights, write=["transform"])  # a name of earlier versions
    assert sorted(path.name for path in out.iterdir()) == FILES
    fixed, moving = sitk.ReadImage(written.item["fixed"]), sitk.ReadImage(written.item["moving"])
    transform = sitk.ReadTransform(out / "transform.h5")
    warped = from_sitk(sitk.Resample(moving, fixed, transform, sitk.sitkLinear, -1000.0, sitk.sitkFloat64))
    inside = from_sitk(sitk.ReadImage(written.item["fixed_mask"])) > 0
    difference = (warped - pair["warped"][0].as_tensor())[inside].abs()
    assert difference.mean() < 0.4  # HU are rounded to whole numbers: 0.25 on average; so are the vectors
    reach_mm = sqrt(3) * rounding_mm(world_transform(pair))
    assert (difference <= 0.5 + reach_mm * steepness(moving, fixed, transform)[inside]).all()


def test_simpleitk_carries_the_landmarks_through_the_itk_transform(register: Register, weights: Path) -> None:
    written, pair = register()
    out = save(pair, weights, write=["transform"])
    transform = sitk.ReadTransform(out / "transform.h5")
    moved = [transform.TransformPoint(point) for point in swap_ras_lps(written.fixed_mm).tolist()]
    np.testing.assert_allclose(moved, read_csv(out / "moving_landmarks.csv"), atol=rounding_mm(world_transform(pair)))


def test_another_extra_is_refused_before_any_work(weights: Path) -> None:
    with pytest.raises(
        ValueError,
        match=r"write: expected some of displacement, inverse, dicom, transform, got \['transform', 'everything'\]",
    ):
        SaveRegistrationd(weights=weights, recipe=make_recipe(), write=["transform", "everything"])


def test_the_report_holds_the_dice_of_given_masks_as_simpleitk_computes_it(register: Register, weights: Path) -> None:
    written, pair = register()
    out = save(pair, weights, write=["transform"])
    dice = json.loads((out / "report.json").read_text())["lung_dice"]
    assert list(dice) == ["none", "aligned", "registered"]
    fixed, moving = sitk.ReadImage(written.item["fixed_mask"]), sitk.ReadImage(written.item["moving_mask"])
    for stage, transform in [
        ("none", sitk.Transform(3, sitk.sitkIdentity)),
        ("aligned", sitk.ReadTransform(written.item["initial_transform"])),
        ("registered", sitk.ReadTransform(out / "transform.h5")),
    ]:
        warped = sitk.Resample(sitk.Cast(moving, sitk.sitkFloat64), fixed, transform, sitk.sitkLinear, 0.0) >= 0.5
        overlap = sitk.LabelOverlapMeasuresImageFilter()
        overlap.Execute(sitk.Cast(fixed, sitk.sitkUInt8), sitk.Cast(warped, sitk.sitkUInt8))
        assert dice[stage] == pytest.approx(overlap.GetDiceCoefficient(1), abs=2e-4)
    assert dice["aligned"] > 0.95 > dice["none"]  # the alignment is the truth
    _, pair = register(without=("moving_mask",))
    assert json.loads((save(pair, weights) / "report.json").read_text())["lung_dice"] == {}


def test_everything_of_the_fixed_scan_lies_on_its_grid_and_the_inverse_on_the_movings(
    register: Register, weights: Path
) -> None:
    written, pair = register()
    out = save(pair, weights, write=DENSE)
    for name, key in [
        ("warped.nii.gz", "fixed"),
        ("jacobian.nii.gz", "fixed"),
        ("displacement.nii.gz", "fixed"),
        ("inverse_displacement.nii.gz", "moving"),
    ]:
        image, scan = sitk.ReadImage(out / name), sitk.ReadImage(written.item[key])
        assert image.GetSize() == scan.GetSize()
        np.testing.assert_allclose(image.GetSpacing(), scan.GetSpacing(), rtol=1e-5)
        np.testing.assert_allclose(image.GetOrigin(), scan.GetOrigin(), atol=1e-3)
        np.testing.assert_allclose(image.GetDirection(), scan.GetDirection(), atol=1e-5)
    for name in ("displacement.nii.gz", "inverse_displacement.nii.gz"):
        header = nib.load(out / name).header
        assert int(header["intent_code"]) == 1007
        assert len(header.get_data_shape()) == 5


def test_landmarks_are_the_fixed_ones_moved_by_the_displacement(register: Register, weights: Path) -> None:
    written, pair = register()
    out = save(pair, weights, write=DENSE)
    transform = field_of(out / "displacement.nii.gz")
    fixed = read_csv(Path(written.item["fixed_landmarks"]))
    expected = np.array([transform.TransformPoint(point) for point in fixed.tolist()])
    apart_mm = np.linalg.norm(read_csv(out / "moving_landmarks.csv") - expected, axis=1)
    assert apart_mm.max() < 0.05  # the displacement is trilinear between the voxels of the fixed scan


def test_the_inverse_leads_back(register: Register, weights: Path) -> None:
    written, pair = register()
    out = save(pair, weights, write=DENSE)
    fixed = read_csv(Path(written.item["fixed_landmarks"]))
    rounded_mm = INVERSE_PRECISION_MM / 2 + rounding_mm(world_transform(pair))
    for there, back, reach_mm in [
        (field_of(out / "displacement.nii.gz"), field_of(out / "inverse_displacement.nii.gz"), 0.02),
        (*map(sitk.ReadTransform, (out / "transform.h5", out / "inverse_transform.h5")), sqrt(3) * rounded_mm),
    ]:
        returned = np.array([back.TransformPoint(there.TransformPoint(point)) for point in fixed.tolist()])
        assert np.linalg.norm(returned - fixed, axis=1).max() < reach_mm


def test_the_jacobian_is_that_of_the_written_field(register: Register, weights: Path) -> None:
    _, pair = register()
    out = save(pair, weights, write=DENSE)
    expected = jacobian_of(sitk.ReadImage(out / "displacement.nii.gz", sitk.sitkVectorFloat64))
    inside = (slice(1, -1),) * 3
    jacobian = from_sitk(sitk.ReadImage(out / "jacobian.nii.gz"))
    difference = (jacobian[inside] - expected[inside]).abs()  # central differences reach as far as voxels do
    assert difference.mean() < 2e-3
    assert difference.max() < 0.02


def test_the_jacobian_is_simpleitks_of_the_network_grid_interpolated(register: Register, weights: Path) -> None:
    written, pair = register()
    out = save(pair, weights)
    start, end = pair["grid_to_fixed"], pair["grid_to_moving"]
    vectors_mm = torch.einsum("ab,bhwd->ahwd", start[:3, :3], torch.as_tensor(pair["pred"]).double())
    of_the_affine = torch.linalg.det(end) / torch.linalg.det(start)
    determinant = jacobian_of(to_sitk(vectors_mm, start)) * of_the_affine
    fixed, identity = sitk.ReadImage(written.item["fixed"]), sitk.Transform()
    on_fixed, inner = (
        from_sitk(sitk.Resample(to_sitk(values, start), fixed, identity, sitk.sitkLinear, 0.0, sitk.sitkFloat64))
        for values in (determinant, torch.nn.functional.pad(torch.ones_like(determinant[2:, 2:, 2:]), [1] * 6))
    )
    inside = inner > 1 - 1e-9  # of the outermost voxels, SimpleITK differs
    assert inside.double().mean() > 0.3
    jacobian = from_sitk(sitk.ReadImage(out / "jacobian.nii.gz"))
    torch.testing.assert_close(jacobian[inside], on_fixed[inside], atol=JACOBIAN_STEP / 2 + 1e-5, rtol=0)


def jacobian_of(field: sitk.Image) -> torch.Tensor:
    """SimpleITK's determinant of a field, in voxels of its own axes; see test_geometry."""
    axes = np.array(field.GetDirection()).reshape(3, 3)
    local = sitk.GetImageFromArray(sitk.GetArrayFromImage(field) @ axes, isVector=True)
    local.SetSpacing(field.GetSpacing())
    return from_sitk(sitk.DisplacementFieldJacobianDeterminant(local))


def test_the_true_affine_alone_brings_the_landmarks_home(register: Register, weights: Path) -> None:
    written, pair = register(amplitude_vox=0.0)
    out = save(pair, weights)
    moving = read_csv(Path(written.item["moving_landmarks"]))
    assert np.abs(read_csv(out / "moving_landmarks.csv") - moving).max() < 1e-3
    report = json.loads((out / "report.json").read_text())
    np.testing.assert_allclose(report["initial_affine_ras_mm"], written.truth, atol=1e-6)
    scores = report["scores"]
    assert scores["tre_none_mm"] > 35
    assert scores["tre_aligned_mm"] == pytest.approx(scores["tre_mm"], abs=1e-3)
    assert scores["tre_mm"] < 1e-3
    assert 0 < scores["snapped_tre_mm"] < 4.1  # half a voxel's diagonal of 5 x 4.5 x 4.5 mm
    assert scores["landmarks"] == len(moving)
    assert scores["folding_percent"] == 0.0


def test_the_report_says_what_was_done_with_what(register: Register, weights: Path) -> None:
    written, pair = register()
    report = json.loads((save(pair, weights) / "report.json").read_text())
    assert report["name"] == "fixed"
    assert report["fixed"] == written.item["fixed"]
    assert report["moving"] == written.item["moving"]
    expected = torch.linalg.vector_norm(
        pair["mapped_landmarks"] - written.moving_mm, dim=1
    )  # independent of our metric
    assert report["scores"]["tre_mm"] == pytest.approx(float(expected.mean()), abs=1e-3)
    assert report["scores"]["tre_p95_mm"] >= report["scores"]["tre_median_mm"] > 0
    assert 0 <= report["lncc"]["registered"] <= 1
    assert report["lncc"]["aligned"] == pytest.approx(pair["lncc_aligned"], rel=1e-4)
    assert report["lungs_found"] == {"fixed": True, "moving": True}
    assert {"LoadImaged", "Network", "ResultsOnNativeGridsd"} <= report["seconds_by_step"].keys()
    assert report["weights"] == {"file": "model.pt", "sha256": "w", "trained_on_this_pair": False}
    assert {"bundle", "MONAI", "Pytorch", "Numpy"} <= report["versions"].keys()


def test_without_landmarks_there_is_neither_a_file_nor_a_score_of_them(register: Register, weights: Path) -> None:
    _, pair = register(without=("fixed_landmarks", "moving_landmarks", "fixed_mask", "moving_mask"))
    out = save(pair, weights)
    assert sorted(path.name for path in out.iterdir()) == [name for name in FILES if "landmarks" not in name]
    scores = json.loads((out / "report.json").read_text())["scores"]  # null, since JSON knows no NaN
    assert scores["tre_mm"] is None
    assert scores["landmarks"] == 0


def test_fixed_landmarks_alone_are_carried(register: Register, weights: Path) -> None:
    _, pair = register(without=("moving_landmarks",))
    out = save(pair, weights)
    assert (out / "moving_landmarks.csv").exists()
    assert json.loads((out / "report.json").read_text())["scores"]["tre_mm"] is None


@pytest.mark.parametrize("writer", ["write_image", "write_transform", "write_landmarks_csv", "draw_overview"])
def test_when_writing_fails_no_report_says_that_it_is_finished(
    writer: str, register: Register, weights: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*args: object, **kwargs: object) -> None:
        raise OSError(28, "No space left on device")

    _, pair = register()
    monkeypatch.setattr(save_registration, writer, fail)
    with pytest.raises(OSError, match="No space left"):
        save(pair, weights)
    assert "report.json" not in [path.name for path in Path(pair["output_dir"]).iterdir()]


def test_registering_again_leaves_no_old_report_while_it_writes(
    register: Register, weights: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, pair = register()
    out = save(pair, weights)

    def fail(*args: object, **kwargs: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(save_registration, "draw_overview", fail)
    with pytest.raises(OSError, match="No space left"):
        save(pair, weights)
    assert not (out / "report.json").exists()  # else the results of two runs would pass for one


def test_an_interrupted_write_leaves_no_half_written_file(
    register: Register, weights: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def cut_off(path: Path, text: str) -> None:
        with path.open("w") as file:
            file.write(text[: len(text) // 2])
        raise KeyboardInterrupt

    _, pair = register()
    monkeypatch.setattr(Path, "write_text", cut_off)
    with pytest.raises(KeyboardInterrupt):
        save(pair, weights)
    names = sorted(path.name for path in Path(pair["output_dir"]).iterdir())
    assert "report.json" not in names
    assert set(names) < set(FILES)  # and no temporary ones


def test_results_of_an_earlier_run_that_this_one_does_not_write_are_removed(register: Register, weights: Path) -> None:
    _, pair = register()
    folder = save(pair, weights, write=DENSE)
    assert sorted(path.name for path in folder.iterdir()) == sorted([*FILES, *DENSE_FILES])
    (folder / "notes.txt").write_text("the user's own")
    without = {key: value for key, value in pair.items() if key not in ("mapped_landmarks", "fixed_landmarks")}
    assert save(without, weights) == folder
    names = {path.name for path in folder.iterdir()}
    assert not names & {*DENSE_FILES, "moving_landmarks.csv", "moving_landmarks.mrk.json"}
    assert {"notes.txt", "report.json", "warped.nii.gz"} <= names


def test_two_runs_into_one_folder_leave_the_results_of_one(
    register: Register, weights: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first is held before its last file: the second waits, and then replaces all of them."""
    _, first = register()
    second = {**first, "warped": first["warped"] * 0 - 7}
    started = threading.Event()

    def draw(path: Path, **_: Any) -> None:
        started.set()
        time.sleep(0.5)
        Image.new("RGB", (2, 2)).save(path)

    monkeypatch.setattr(save_registration, "draw_overview", draw)
    other = threading.Thread(target=save, args=(first, weights))
    other.start()
    assert started.wait(60)
    folder = save(second, weights)
    other.join()
    assert np.unique(np.asarray(nib.load(folder / "warped.nii.gz").dataobj)).tolist() == [-7]
    assert (folder / "report.json").exists()


def test_names_of_the_fixed_landmarks_are_written_with_the_mapped_ones(register: Register, weights: Path) -> None:
    _, pair = register()
    names = [(f"F-{number}", f"tip {number}") for number in range(len(pair["mapped_landmarks"]))]
    folder = save({**pair, "landmark_names": json.dumps(names)}, weights)
    for name in ("moving_landmarks.csv", "moving_landmarks.mrk.json"):
        assert list(read_landmarks(folder / name, None).names) == names


def test_a_whole_image_region_is_reported_as_such(weights: Path, register: Register) -> None:
    _, pair = register()
    pair["moving_lungs_found"] = False
    report = json.loads((save(pair, weights) / "report.json").read_text())
    assert report["lungs_found"] == {"fixed": True, "moving": False}


def test_results_of_gpus_and_loaders_are_taken_as_they_come(register: Register, weights: Path) -> None:
    """After a DataLoader and decollation numbers are tensors, and the name of a file may be one of a list."""
    _, pair = register()
    pair["seconds_by_step"] = {step: torch.tensor(value) for step, value in pair["seconds_by_step"].items()}
    pair["fixed_lungs_found"] = torch.tensor(True)
    pair["initial_affine"] = MetaTensor(torch.as_tensor(pair["initial_affine"]))
    report = json.loads((save(pair, weights) / "report.json").read_text())
    assert report["lungs_found"]["fixed"] is True
    assert isinstance(report["seconds_by_step"]["LoadImaged"], float)


def test_landmarks_at_fixed_points_land_where_the_geometry_says(register: Register, weights: Path) -> None:
    written, pair = register()
    q = apply_affine(torch.linalg.inv(pair["grid_to_fixed"]), written.fixed_mm)
    near: Tensor = q.round().long()
    ddf = torch.stack([pair["pred"][:, i, j, k] for i, j, k in near.tolist()]).double()
    rough = apply_affine(pair["grid_to_moving"], q + ddf)  # nearest voxel instead of trilinear
    assert (rough - pair["mapped_landmarks"]).norm(dim=1).max() < 2.0


def test_a_failed_registration_is_marked_until_it_succeeds(register: Register, weights: Path) -> None:
    _, pair = register()
    reasons = ("only 10 % of the vessels have a counterpart near by", "no geometry")
    out = save({**pair, "verdict": Verdict("failed", reasons)}, weights)
    assert sorted(path.name for path in out.iterdir()) == sorted([*FILES, "FAILED.txt"])
    assert (out / "FAILED.txt").read_text().splitlines()[1:] == list(reasons)
    report = json.loads((out / "report.json").read_text())
    assert (report["verdict"], report["reasons"]) == ("failed", list(reasons))
    assert sorted(path.name for path in save(pair, weights).iterdir()) == FILES
