from __future__ import annotations

import shlex
from inspect import signature

from bundle.data import FILE_KEYS, OPTION_KEYS, bundle_root
from bundle.reports.html.command import command_of
from scripts.register import register

FILES = {
    "moving": "/data/it's an exhale $HOME.nii",
    "fixed": "/data/in hale.nii",
    "fixed_mask": "/data/lungs;rm.mha",
    "fixed_series": "1.2.3#30",
}


def test_the_command_gives_back_every_file_and_setting() -> None:
    command = command_of({"files": FILES, "settings": {"refine": "none", "refine_budget_s": None, "spacing_mm": 1.5}})
    assert command is not None
    words = shlex.split(command.replace("\\\n", " "))
    assert words[:3] == ["python", "-m", "scripts.register"]
    options = dict(zip(words[3::2], words[4::2], strict=True))
    expected = {f"--{key}": value for key, value in FILES.items()}
    assert options == expected | {"--refine": "none", "--spacing_mm": "1.5", "--output_dir": "NEW_FOLDER"}
    assert words[3] == "--fixed"


def test_further_results_maps_and_other_weights_are_repeated() -> None:
    settings = {"refine": "field", "spacing_mm": 1.5, "write": ["displacement", "dicom"], "maps": "prm,strain"}
    command = command_of({"files": FILES, "settings": settings | {"smooth_mm": 0.0, "weights": "/my own/model.pt"}})
    assert command is not None
    words = shlex.split(command.replace("\\\n", " "))
    options = dict(zip(words[3::2], words[4::2], strict=True))
    assert options["--write"] == "displacement,dicom"
    assert options["--maps"] == "prm,strain"
    assert options["--smooth_mm"] == "0.0"
    assert options["--weights"] == "/my own/model.pt"


def test_what_is_the_default_is_not_repeated() -> None:
    settings = {"refine": "field", "spacing_mm": 1.5, "write": [], "maps": [], "smooth_mm": 4.0}
    command = command_of({"files": FILES, "settings": settings | {"weights": bundle_root() + "/models/model.pt"}})
    assert command is not None
    assert not [word for word in ("--write", "--maps", "--smooth_mm", "--weights") if word in command]


def test_every_option_is_one_of_the_command() -> None:
    files = dict.fromkeys((*FILE_KEYS, *OPTION_KEYS), "/data/file")  # as of a pairs file with ground-truth fields
    settings = {"refine": "field", "refine_budget_s": 60.0, "spacing_mm": 1.5, "write": ["dicom"], "maps": "all"}
    command = command_of({"files": files, "settings": settings | {"smooth_mm": 2.0, "weights": "/my/model.pt"}})
    assert command is not None
    names = {word.removeprefix("--") for word in shlex.split(command.replace("\\\n", " "))[3::2]}
    assert names == set(signature(register).parameters)


def test_scans_in_memory_have_no_command() -> None:
    assert command_of({"files": {"fixed_mask": "lungs.nii"}, "settings": {}}) is None
