"""Values of MONAI configs that arrive as they were given.

MONAI's ConfigParser evaluates texts that begin with $, @ or % and replaces every # in a text by ::, and its command
line reads numbers, so names of files would become others.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from itertools import pairwise
from pathlib import Path
from typing import Any

from fire.parser import DefaultParseValue
from monai.bundle import ConfigParser

from bundle.refusals import is_monai_command

ROOT = Path(__file__).absolute().parents[2]  # not resolved: caches link every file elsewhere
GIVEN = "given_values"  # name of the values in the expressions that stand for them


def bundle_root() -> str:
    """Folder of the bundle: the default of configs that run from any working folder."""
    return str(ROOT)


def config_with(path: str | Path, values: Mapping[str, Any]) -> ConfigParser:
    """A config with other values of some ids.

    Args:
        path: JSON file.
        values: objects, which are not evaluated, by id; None leaves the config's own value.
    """
    given = {name: value for name, value in values.items() if value is not None}
    parser = ConfigParser(globals={GIVEN: given})
    parser.read_config(path)
    parser.update({name: f"${GIVEN}[{name!r}]" for name in given})
    return parser


def check_as_typed(values: Mapping[str, Any]) -> None:
    """Check that MONAI's command line passes on options as they were typed: it reads `case#2` as `case`, `1e5` as 1e5.

    Expressions and references of MONAI ($, @, %) are not compared, nor one pair of quotes, which keep a number a text.

    Args:
        values: what became of options, by name.
    Raises: ValueError if a process of `python -m monai.bundle run` was started with another text.
    """
    if not is_monai_command():
        return
    for name, value in values.items():
        typed = _typed(name)
        if typed and not typed.startswith(("$", "@", "%")) and str(value) in _changed(typed):
            raise ValueError(
                f"{name}: expected {typed!r} as typed, got {value!r}: MONAI's command line reads numbers and #, "
                "and its configs $, @ and %; use scripts/register.py, or another name"
            )


def _changed(typed: str) -> set[str]:
    """What a text that was typed becomes, other than itself; another default value is none of it."""
    read = str(DefaultParseValue(typed))
    return {read, read.replace("#", "::")} - {typed, _unquoted(typed)}


def _typed(name: str) -> str:
    """The text of an option on the command line of this process, empty if it is not there."""
    words, flags = sys.argv[1:], (f"--{name}", f"--{name}".replace("_", "-"))
    apart = [following for word, following in pairwise(words) if word in flags]
    joined = [word.partition("=")[2] for word in words if word.partition("=")[0] in flags and "=" in word]
    return next(iter([*apart, *joined]), "")


def _unquoted(text: str) -> str:
    return text[1:-1] if len(text) > 1 and text[0] == text[-1] and text[0] in "'\"" else text
