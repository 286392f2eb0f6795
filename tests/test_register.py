from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import SimpleITK as sitk
import torch
from monai.data import MetaTensor

from bundle import register_pair
from bundle.geometry import swap_ras_lps
from bundle.io import read_image, read_labels
from bundle.io.displacement import PRECISION_MM as DENSE_PRECISION_MM
from bundle.register import Registration, workflow
from scripts.register import register
from tests.conftest import SyntheticPair
from tests.formats.dicom.conftest import write_series
from tests.grids import from_sitk
from tests.io.test_transform_file import rounding_mm

COARSE = {"refine": "none", "spacing_mm": 8.0, "network_spacing_mm": 8.0}


@pytest.fixture(scope="module")
def from_files(synthetic_pair: Callable[..., SyntheticPair]) -> Registration:
    item = synthetic_pair().item
    return register_pair(
        item["fixed"],
        item["moving"],
        fixed_mask=item["fixed_mask"],
        moving_mask=item["moving_mask"],
        fixed_landmarks=item["fixed_landmarks"],
        moving_landmarks=item["moving_landmarks"],
        initial_transform=item["initial_transform"],
        options=COARSE,
    )


def test_results_lie_on_the_grids_of_the_scans(from_files: Registration, synthetic_pair: Callable) -> None:
    fixed, moving = nib.load(synthetic_pair().item["fixed"]), nib.load(synthetic_pair().item["moving"])
    assert from_files.warped.shape == (1, *fixed.shape)
    assert from_files.displacement.shape == (3, *fixed.shape)
    assert from_files.jacobian.shape == (1, *fixed.shape)
    assert from_files.inverse_displacement.shape == (3, *moving.shape)
    np.testing.assert_allclose(from_files.warped.affine, fixed.affine, atol=1e-4)
    np.testing.assert_allclose(from_files.inverse_displacement.affine, moving.affine, atol=1e-4)


def test_saved_files_hold_the_same_and_simpleitk_moves_points_as_the_object(
    from_files: Registration, synthetic_pair: Callable[..., SyntheticPair], tmp_path: Path
) -> None:
    from_files.save(tmp_path / "result", write=["displacement"])
    displacement = sitk.GetArrayFromImage(sitk.ReadImage(tmp_path / "result" / "displacement.nii.gz"))
    ours = swap_ras_lps(from_files.displacement.as_tensor().permute(3, 2, 1, 0)).numpy()
    np.testing.assert_allclose(displacement, ours, atol=DENSE_PRECISION_MM / 2 + 1e-5)
    transform = sitk.ReadTransform(tmp_path / "result" / "transform.h5")
    points_mm = synthetic_pair().fixed_mm
    moved = [transform.TransformPoint(point) for point in swap_ras_lps(points_mm).tolist()]
    ours = swap_ras_lps(from_files.transform_points(points_mm.numpy()))
    np.testing.assert_allclose(ours, moved, atol=rounding_mm(synthetic_pair().gentle_transform))  # of the same affine


def test_the_report_scores_the_landmarks_and_the_masks(from_files: Registration) -> None:
    assert from_files.report["scores"]["landmarks"] == 12
    assert {"InitialAlignmentd", "Network", "ScoreRegistrationd"} <= from_files.report["seconds_by_step"].keys()
    assert from_files.report["scores"]["tre_aligned_mm"] < 1e-3  # the initial transform is the truth
    assert from_files.report["scores"]["tre_none_mm"] > 40
    assert from_files.report["lung_dice"]["aligned"] > 0.95


def test_scans_in_memory_give_what_their_files_give(
    from_files: Registration, synthetic_pair: Callable[..., SyntheticPair]
) -> None:
    pair = synthetic_pair()
    fixed, moving = [read_image(pair.item[key]) for key in ("fixed", "moving")]
    registered = register_pair(
        MetaTensor(fixed[0], affine=fixed.affine),
        moving[0].numpy(),
        moving_affine=moving.affine.numpy(),
        fixed_mask=read_image(pair.item["fixed_mask"]),
        moving_mask=read_image(pair.item["moving_mask"])[0].numpy(),
        fixed_landmarks=pair.fixed_mm,
        moving_landmarks=pair.moving_mm.numpy(),
        initial_transform=pair.truth,
        options=COARSE,
    )
    # the affine of the initial transform's file differs in its last digits
    torch.testing.assert_close(registered.displacement, from_files.displacement, atol=1e-2, rtol=0)
    assert registered.report["scores"]["tre_mm"] == pytest.approx(from_files.report["scores"]["tre_mm"], abs=1e-3)


@pytest.mark.slow
def test_the_command_line_gives_the_same(
    from_files: Registration, synthetic_pair: Callable[..., SyntheticPair], tmp_path: Path
) -> None:
    item = synthetic_pair().item
    register(item["fixed"], item["moving"], str(tmp_path), refine="none", initial_transform=item["initial_transform"])
    registered = register_pair(
        item["fixed"], item["moving"], initial_transform=item["initial_transform"], options={"refine": "none"}
    )
    warped = nib.load(tmp_path / "warped.nii.gz").get_fdata()
    np.testing.assert_allclose(registered.warped[0].numpy(), warped, atol=0.51)  # written as whole HU


def test_an_array_without_its_affine_is_refused() -> None:
    with pytest.raises(ValueError, match="fixed: an array says nothing about its grid; pass fixed_affine"):
        register_pair(np.zeros((8, 9, 10)), np.zeros((8, 9, 10)))


def test_an_unknown_option_is_refused(synthetic_pair: Callable[..., SyntheticPair]) -> None:
    item = synthetic_pair().item
    with pytest.raises(ValueError, match=r"options: no such id in configs/inference\.json: refinement"):
        register_pair(item["fixed"], item["moving"], options={"refinement": "none"})


@pytest.mark.parametrize("name", ["spacing_mm", "network_spacing_mm"])
def test_voxels_beyond_the_limits_are_refused(name: str, synthetic_pair: Callable[..., SyntheticPair]) -> None:
    item = synthetic_pair().item
    with pytest.raises(ValueError, match=rf"^{name}: expected [\d.]+ to 10 mm, got 900$"):
        register_pair(item["fixed"], item["moving"], options={name: 900})


def test_a_mask_on_another_grid_is_resampled_and_one_in_another_place_refused(
    synthetic_pair: Callable[..., SyntheticPair], from_files: Registration
) -> None:
    item = synthetic_pair().item
    mask = sitk.Flip(sitk.ReadImage(item["fixed_mask"]), (True, False, True), False)
    flipped = read_sitk_mask(mask)
    registered = register_pair(
        item["fixed"],
        item["moving"],
        fixed_mask=flipped,
        moving_mask=item["moving_mask"],
        fixed_landmarks=item["fixed_landmarks"],
        initial_transform=item["initial_transform"],
        options=COARSE,
    )
    torch.testing.assert_close(registered.displacement, from_files.displacement, atol=1e-4, rtol=0)
    flipped.affine[2, 3] += 800.0
    with pytest.raises(ValueError, match="the mask lies in another place than its scan"):
        register_pair(item["fixed"], item["moving"], fixed_mask=flipped)


def read_sitk_mask(image: sitk.Image) -> MetaTensor:
    with tempfile.TemporaryDirectory() as folder:
        sitk.WriteImage(image, f"{folder}/mask.nrrd")
        return read_labels(f"{folder}/mask.nrrd")


def test_landmarks_that_do_not_match_are_refused(synthetic_pair: Callable[..., SyntheticPair]) -> None:
    pair = synthetic_pair()
    with pytest.raises(ValueError, match="fixed_landmarks holds 12, moving_landmarks holds 11"):
        register_pair(
            pair.item["fixed"],
            pair.item["moving"],
            fixed_landmarks=pair.fixed_mm,
            moving_landmarks=pair.moving_mm[1:],
        )


def test_labels_and_scans_are_warped_as_simpleitk_warps_them(
    from_files: Registration, synthetic_pair: Callable[..., SyntheticPair], tmp_path: Path
) -> None:
    from_files.save(tmp_path)
    item = synthetic_pair().item
    transform = sitk.ReadTransform(tmp_path / "transform.h5")
    fixed = sitk.ReadImage(item["fixed"])
    for found, path, interpolator, outside, tolerance in (
        (from_files.warp_labels(item["moving_mask"]), item["moving_mask"], sitk.sitkNearestNeighbor, 0.0, 1e-3),
        (from_files.warp_scan(item["moving"]), item["moving"], sitk.sitkLinear, -1000.0, 0.5),
    ):
        expected = from_sitk(
            sitk.Resample(sitk.ReadImage(path), fixed, transform, interpolator, outside, sitk.sitkFloat64)
        )
        assert found.shape == (1, *expected.shape)
        torch.testing.assert_close(found.affine, from_files.warped.affine)
        assert (found[0].as_tensor().double() - expected).abs().mean() < tolerance
    back = from_files.warp_labels(from_files.warp_labels(item["moving_mask"]), inverse=True)
    moving_mask = from_sitk(sitk.ReadImage(item["moving_mask"])) > 0
    overlap = ((back[0].as_tensor() > 0) & moving_mask).double().sum() / moving_mask.double().sum()
    assert overlap > 0.95


def test_many_pairs_share_one_network(synthetic_pair: Callable[..., SyntheticPair]) -> None:
    item = synthetic_pair().item
    networks = []
    for _ in range(2):
        register_pair(item["fixed"], item["moving"], initial_transform=item["initial_transform"], options=COARSE)
        networks.append(workflow(COARSE).get_parsed_content("network"))
    assert networks[0] is networks[1]


def test_a_refused_pair_leaves_the_next_one_alone(synthetic_pair: Callable[..., SyntheticPair]) -> None:
    item = synthetic_pair().item
    hu = read_image(item["moving"])
    display = MetaTensor((hu.as_tensor().clamp(-1000, 400) + 1000) / 1400, affine=hu.affine)
    with pytest.raises(ValueError, match="values from 0 to 1, expected Hounsfield units"):
        register_pair(item["fixed"], display, options=COARSE)
    registered = register_pair(item["fixed"], hu, initial_transform=item["initial_transform"], options=COARSE)
    assert registered.warped.shape == registered.pair["fixed"].shape


def test_a_series_is_chosen_in_a_dicom_folder_only(tmp_path: Path) -> None:
    write_series(tmp_path / "a", seed=1, SeriesDescription="inhale")
    write_series(tmp_path / "b", seed=2, SeriesDescription="exhale")
    with pytest.raises(ValueError, match="expected one volume for series 'scout', found 0"):  # so the first was found
        register_pair(tmp_path, tmp_path, fixed_series="inhale", moving_series="scout")
    with pytest.raises(ValueError, match="fixed: expected a DICOM folder to choose series 'inhale' from, got an array"):
        register_pair(np.zeros((8, 9, 10)), tmp_path, fixed_affine=np.eye(4), fixed_series="inhale")
