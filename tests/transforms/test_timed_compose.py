from __future__ import annotations

import os
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from monai.data import CacheDataset, DataLoader, Dataset
from monai.transforms import RandomizableTransform, Transform

from bundle.transforms import TimedCompose


class Sleep(Transform):
    def __call__(self, data: dict[str, Any]) -> dict[str, Any]:
        time.sleep(0.05)
        return {**data, "slept": True}


class Forget(Transform):
    def __call__(self, data: dict[str, Any]) -> dict[str, Any]:
        return {key: value for key, value in data.items() if key != "seconds_by_step"}


class AddNoise(RandomizableTransform):
    def __call__(self, data: dict[str, Any]) -> dict[str, Any]:
        return {**data, "noise": float(self.R.rand())}


def test_every_step_is_timed_by_its_name() -> None:
    result = TimedCompose([Sleep(), Forget()])({"name": "a"})
    assert list(result["seconds_by_step"]) == ["Sleep", "Forget"]
    assert result["slept"]
    assert 0.05 <= result["seconds_by_step"]["Sleep"] < 1.0
    assert result["seconds_by_step"]["Forget"] < 0.04


def test_steps_of_one_class_add_up() -> None:
    result = TimedCompose([Sleep(), Forget(), Sleep()])({})
    assert 0.1 <= result["seconds_by_step"]["Sleep"] < 1.0


def test_the_steps_of_the_inferer_come_between_those_before_and_after_it_even_through_a_loader() -> None:
    class Inferer:
        seconds_by_step = {"Network": 2.5, "InstanceOptimization": 30.0}  # noqa: RUF012

    loader = DataLoader(Dataset([{"image": torch.zeros(1)}], transform=TimedCompose([Sleep()])), batch_size=1)
    (batch,) = loader
    batch = {**batch, "seconds_by_step": {step: value[0] for step, value in batch["seconds_by_step"].items()}}
    result = TimedCompose([Forget()], inferer=Inferer())(batch)
    assert list(result["seconds_by_step"]) == ["Sleep", "Network", "InstanceOptimization", "Forget"]
    assert result["seconds_by_step"]["InstanceOptimization"] == 30.0
    assert all(isinstance(value, float) for value in result["seconds_by_step"].values())


def test_a_check_runs_right_after_the_steps_of_its_class() -> None:
    seen = []

    def check(data: dict[str, Any]) -> dict[str, Any]:
        seen.append(sorted(data))
        return data

    TimedCompose([Sleep(), Forget(), AddNoise()], checks={"Sleep": check})({"name": "a"})
    assert seen == [["name", "seconds_by_step", "slept"]]


def test_the_given_pair_is_left_alone() -> None:
    pair = {"name": "a"}
    TimedCompose([Sleep()])(pair)
    assert pair == {"name": "a"}


def test_random_transforms_are_seeded_as_in_monais_compose() -> None:
    compose = TimedCompose([AddNoise(), Sleep()])
    draws = []
    for seed in (3, 3, 4):
        compose.set_random_state(seed=seed)
        draws.append(compose({})["noise"])
    assert draws[0] == draws[1] != draws[2]
    assert compose({})["noise"] != draws[2]  # and are not seeded again by every call


def test_a_part_of_the_steps_can_be_run_as_cache_datasets_do() -> None:
    compose = TimedCompose([Sleep(), AddNoise(), Forget()])
    dataset = CacheDataset([{"name": "a"}], transform=compose, progress=False)
    assert dataset[0]["noise"] != dataset[0]["noise"]
    assert list(dataset[0]["seconds_by_step"])[:1] == ["Sleep"]
    assert list(compose({}, start=1, end=2)["seconds_by_step"]) == ["AddNoise"]


def test_a_failing_step_keeps_its_own_error() -> None:
    def fail(data: dict[str, Any]) -> dict[str, Any]:
        raise ValueError("a.nii.gz: constant image")

    with pytest.raises((ValueError, RuntimeError)) as error:
        TimedCompose([Sleep(), fail])({})
    chain = [str(error.value), str(error.value.__cause__)]
    assert any("a.nii.gz: constant image" in text for text in chain)


@pytest.mark.skipif(sys.platform != "linux", reason="the C library of other systems returns memory by itself")
def test_memory_that_a_step_frees_is_returned_before_the_next_one() -> None:
    def resident_mib() -> float:
        return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGESIZE") / 2**20

    def fill(pair: dict[str, Any]) -> dict[str, Any]:
        blocks = [np.ones(12_500) for _ in range(3000)]  # 300 MB
        return {**pair, "kept": blocks[-1]}  # at the end of the heap, which is why it is not given back by itself

    before = resident_mib()
    result = TimedCompose([fill])({})
    assert len(result["kept"]) == 12_500
    assert resident_mib() - before < 100
