from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from bundle.data import flag

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize(
    ("value", "expected"), [(True, True), (False, False), ("true", True), ("False", False), ("FALSE", False)]
)
def test_a_flag_is_read_from_python_and_from_the_command_line(value: bool | str, expected: bool) -> None:
    assert flag(name="antisymmetric", value=value) is expected


@pytest.mark.parametrize("value", ["yes", "0", "", 1])
def test_anything_else_is_refused(value: Any) -> None:
    with pytest.raises(ValueError, match=r"--antisymmetric: expected true or false, got"):
        flag(name="antisymmetric", value=value)


@pytest.mark.parametrize(
    ("config", "names"), [("inference.json", {"amp", "antisymmetric", "overwrite"}), ("train.json", {"amp", "resume"})]
)
def test_every_flag_of_a_config_is_read_as_one(config: str, names: set[str]) -> None:
    """Only by `flag` is a boolean id used."""
    content = json.loads((ROOT / "configs" / config).read_text())
    text = json.dumps(content)
    booleans = {key for key, value in content.items() if isinstance(value, bool)}
    assert booleans <= names
    for name in names:
        reading = json.dumps({"_target_": "bundle.data.flag", "name": name, "value": f"@{name}"})
        assert text.count(reading) == 1
        assert text.count(f'"@{name}"') == 1
