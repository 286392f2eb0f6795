from __future__ import annotations

import shlex

from bundle.reports.html.command import command_of

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


def test_scans_in_memory_have_no_command() -> None:
    assert command_of({"files": {"fixed_mask": "lungs.nii"}, "settings": {}}) is None
