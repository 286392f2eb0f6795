from __future__ import annotations

import inspect
import json
from pathlib import Path

from bundle.data import FILE_KEYS, OPTION_KEYS, Pair, PairFiles
from bundle.register import register_pair
from scripts.register import register

ROOT = Path(__file__).parents[2]
OF_TRAINING = {"displacement"}


def test_only_given_files_are_listed_as_text() -> None:
    files = PairFiles(fixed=Path("a.nii.gz"), moving="b.nii.gz", fixed_mask=None, moving_mask="")
    assert files.given() == {"fixed": "a.nii.gz", "moving": "b.nii.gz"}


def test_every_entry_takes_the_same_files() -> None:
    """The command line, Python and the config name what a pair consists of by the same words."""
    wanted = {*FILE_KEYS, *OPTION_KEYS} - OF_TRAINING
    assert wanted <= inspect.signature(register).parameters.keys()
    assert wanted <= inspect.signature(register_pair).parameters.keys()
    config = json.loads((ROOT / "configs" / "inference.json").read_text())
    assert wanted <= config.keys()
    given = {key: value for key, value in config["pairs"]["pair"].items() if key != "_target_"}
    assert given == {key: f"@{key}" for key in wanted}


def test_what_a_pair_consists_of_is_part_of_what_it_carries() -> None:
    assert {*FILE_KEYS, *OPTION_KEYS} - OF_TRAINING - {"initial_transform"} <= Pair.__annotations__.keys()
