from __future__ import annotations

import json
import threading
from collections import defaultdict
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import SimpleITK as sitk
import torch
from monai.bundle import run
from monai.data import Dataset

from bundle.data import PairLoader

ROOT = Path(__file__).parents[2]
WAIT_S = 30  # of a test that fails
KEYS = ("fixed", "moving", "fixed_mask", "fixed_landmarks", "moving_landmarks")


class Reader:
    """A transform that tells which pairs it was asked for."""

    def __init__(self, broken: int | None = None) -> None:
        self.broken = broken
        self.begun: defaultdict[int, threading.Event] = defaultdict(threading.Event)
        self.thread: dict[int, int] = {}

    def __call__(self, pair: dict[str, int]) -> dict[str, int]:
        number = pair["number"]
        self.thread[number] = threading.get_ident()
        self.begun[number].set()
        if number == self.broken:
            raise ValueError(f"pair {number}: no lung found")
        return pair


def loader(count: int, reader: Reader) -> PairLoader:
    return PairLoader(Dataset([{"number": number} for number in range(count)], reader), batch_size=1)


def test_the_next_pair_and_no_other_is_read_while_this_one_is_used() -> None:
    reader = Reader()
    seen = []
    for batch in loader(5, reader):
        number = int(batch["number"])
        seen.append(number)
        if number < 4:
            assert reader.begun[number + 1].wait(WAIT_S)
        assert max(reader.thread) <= number + 1
    assert seen == list(range(5))
    assert threading.get_ident() not in reader.thread.values()


def test_an_error_is_raised_at_its_turn_and_ends_the_run() -> None:
    reader = Reader(broken=1)
    batches = iter(loader(3, reader))
    assert int(next(batches)["number"]) == 0
    with pytest.raises(RuntimeError) as caught:
        next(batches)
    assert isinstance(caught.value.__cause__, ValueError)
    assert str(caught.value.__cause__) == "pair 1: no lung found"
    assert max(reader.thread) == 1


@pytest.mark.parametrize("count", [0, 1, 2])
def test_few_pairs_are_each_read_once(count: int) -> None:
    reader = Reader()
    assert [int(batch["number"]) for batch in loader(count, reader)] == list(range(count))
    assert sorted(reader.thread) == list(range(count))


def test_a_run_that_is_stopped_reads_no_further_pair() -> None:
    reader = Reader()
    batches = iter(loader(9, reader))
    next(batches)
    assert reader.begun[1].wait(WAIT_S)
    batches.close()
    assert sorted(reader.thread) == [0, 1]


def test_the_global_generator_moves_as_with_the_loader_of_monai() -> None:
    states = []
    for kind in (PairLoader, PairLoader.__base__):
        torch.manual_seed(7)
        for _ in kind(Dataset([{"number": 0}, {"number": 1}], Reader()), batch_size=1):
            pass
        states.append(torch.get_rng_state())
    assert torch.equal(*states)


@pytest.mark.slow
def test_pairs_of_a_pairs_file_give_what_each_of_them_gives_alone(small_phantoms: Path, tmp_path: Path) -> None:
    pairs = json.loads((small_phantoms / "pairs.json").read_text())["test"]
    files = [{key: str(small_phantoms / pair[key]) for key in KEYS} | {"landmark_system": "lps"} for pair in pairs]
    pairs = [{"name": name, **paths} for name, paths in zip(("first", "second"), files, strict=True)]
    (tmp_path / "pairs.json").write_text(json.dumps({"test": pairs}))
    common = {"run_id": "inference", "config_file": str(ROOT / "configs" / "inference.json"), "bundle_root": str(ROOT)}
    run(**common, pairs_file=str(tmp_path / "pairs.json"), output_dir=str(tmp_path / "both"), spacing_mm=8.0)
    for name, paths in zip(("first", "second"), files, strict=True):
        run(**common, **paths, output_dir=str(tmp_path / name), spacing_mm=8.0)
        together, alone = tmp_path / "both" / name, tmp_path / name
        for file in ("warped.nii.gz", "jacobian.nii.gz"):
            np.testing.assert_array_equal(*(nib.load(folder / file).dataobj for folder in (together, alone)))
        for file in ("transform.h5", "inverse_transform.h5"):
            field, affine = zip(*(parameters(folder / file) for folder in (together, alone)), strict=True)
            np.testing.assert_array_equal(*field)
            np.testing.assert_array_equal(*affine)
        scores, expected = (json.loads((folder / "report.json").read_text())["scores"] for folder in (together, alone))
        del scores["time_s"], expected["time_s"]
        assert scores == expected
        assert scores["tre_mm"] < 0.5 * scores["tre_none_mm"]


def parameters(path: Path) -> list[np.ndarray]:
    composite = sitk.CompositeTransform(sitk.ReadTransform(path))
    return [np.array(composite.GetNthTransform(number).GetParameters()) for number in range(2)]
