from __future__ import annotations

import json
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from bundle.data import bundle_root, check_as_typed, config_with

TEXTS = ("case#2", "@x", "$1 + 1", "%x", "a::b", "[x]", "20240115", "a@#b", "/data/\u00e4 \u00f6", "True", "a'b\"c\\")


@pytest.fixture
def config(tmp_path: Path) -> Path:
    path = tmp_path / "config.json"
    path.write_text(json.dumps({"a": 1, "file": "unset", "below": "$str(@file) + '/a'", "nested": {"n": "@file"}}))
    return path


@pytest.mark.parametrize("value", [*TEXTS, Path("case#2"), ["@x", "b"], False, 0])
def test_a_config_takes_a_value_as_it_is(value: Any, config: Path) -> None:
    parser = config_with(config, {"file": value})
    assert parser.get_parsed_content("file") is value
    assert parser.get_parsed_content("below") == f"{value}/a"
    assert parser.get_parsed_content("nested") == {"n": value}


def test_none_and_ids_that_are_not_given_leave_the_config_as_it_is(config: Path) -> None:
    parser = config_with(config, {"file": None})
    assert [parser.get_parsed_content(name) for name in ("a", "file")] == [1, "unset"]


def test_the_root_of_the_bundle_holds_the_configs() -> None:
    assert (Path(bundle_root()) / "configs" / "inference.json").is_file()


@pytest.fixture
def from_monai(monkeypatch: pytest.MonkeyPatch) -> None:
    main = SimpleNamespace(__spec__=SimpleNamespace(name="monai.bundle.__main__"))
    monkeypatch.setitem(sys.modules, "__main__", main)


CHANGED = [
    (["run", "--output_dir", "case#2"], "case"),
    (["run", "--output_dir=/x/case#2"], "/x/case::2"),
    (["run", "--output-dir", "12_34"], 1234),
    (["run", "--output_dir", "1e5"], 100000.0),
    (["run", "--output_dir", "[x]"], ["x"]),
]
KEPT = [
    (["run", "--output_dir", "out"], "out"),
    (["run", "--output_dir", "20240115"], 20240115),
    (["run", "--output_dir", "'12_34'"], "12_34"),
    (["run", "--output_dir", "$@bundle_root + '/x'"], "/bundle/x"),
    (["run", "--other", "x"], "default"),
]


@pytest.mark.parametrize(("words", "value"), CHANGED)
@pytest.mark.usefixtures("from_monai")
def test_an_option_that_monai_reads_differently_is_refused(
    words: list[str], value: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "argv", ["monai", *words])
    with pytest.raises(ValueError, match=r"output_dir: expected '.*' as typed, got .*use scripts/register\.py"):
        check_as_typed({"output_dir": value})


@pytest.mark.parametrize(("words", "value"), KEPT)
@pytest.mark.usefixtures("from_monai")
def test_an_option_that_arrives_as_typed_passes(
    words: list[str], value: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "argv", ["monai", *words])
    check_as_typed({"output_dir": value})


@pytest.mark.parametrize(("words", "value"), CHANGED)
def test_processes_that_monai_did_not_start_are_not_checked(
    words: list[str], value: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "argv", ["other", *words])
    check_as_typed({"output_dir": value})
