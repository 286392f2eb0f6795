"""Command lines of the scripts: python-fire, with the former names of options as silent aliases."""

from __future__ import annotations

import json
import math
import os
import re
import sys
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from inspect import signature
from types import NoneType, UnionType
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

import fire

from bundle.memory import import_quickly
from bundle.processors import share_processors
from bundle.refusals import refusals

share_processors()  # here, since every command imports this module before torch
import_quickly()

Command = Callable[..., None]
DEBUG = "--debug"
HELP = {"--help", "-h"}
FLAGS = {"true": True, "false": False}
FLAG = re.compile(r"(--?)([A-Za-z][\w-]*)(=.*)?", re.DOTALL)


def run(
    component: Command | Mapping[str, Command],
    old_names: Mapping[str, str | tuple[str, ...]] | None = None,
    arguments: Sequence[str] | None = None,
) -> None:
    """Call a function, or one of several by its subcommand, with command-line arguments.

    A refused input ends the process with exit code 2 and the reason as the last line, without a traceback unless
    `--debug` is given; Ctrl-C ends it with 130.

    Args:
        component: the function, or the functions by subcommand.
        old_names: current name of an option by its former one; of several current names, the one that the called
            function accepts. Former names work and are not listed by `--help`.
        arguments: the command line; that of the process if None.
    """
    words = list(sys.argv[1:] if arguments is None else arguments)
    called = component.get(words[0]) if isinstance(component, Mapping) and words else component
    accepted = signature(called).parameters if callable(called) else ()
    names = {
        old: new
        for old, candidates in (old_names or {}).items()
        for new in ([candidates] if isinstance(candidates, str) else candidates)
        if new in accepted and old not in accepted
    }
    end = words.index("--") if "--" in words else len(words)  # after it stand fire's own flags
    given = [word for word in words[:end] if word != DEBUG]
    with refusals(debug=len(given) < end):
        commands = component.values() if isinstance(component, Mapping) else [component]
        for command in () if HELP & set(given) else commands:  # help would list the readers as a group of commands
            fire.decorators.SetParseFns(**_readers(command))(command)
        renamed = [_renamed(word, names) for word in given]
        if callable(called):
            texts = {name for name, read in _readers(called).items() if read is str}
            renamed = _with_lists(renamed, {name for name, read in _readers(called).items() if read is json.loads})
            renamed = _with_values(renamed, set(accepted), texts)
            if not HELP & set(given):
                _check_known(renamed[isinstance(component, Mapping) :], list(accepted))
        fire.Fire(component, renamed + words[end:])


def _readers(command: Command) -> dict[str, Callable[[str], Any]]:
    """How the words of each option become its value, by its annotation; others are left to fire.

    Texts arrive exactly as typed (`20240115`, `1e5`, `[x]`, `case#2`, `True`); `--inverse false` is not a text, which
    would count as true.
    """
    readers: dict[str, Callable[[str], Any]] = {}
    for name, hint in get_type_hints(command).items():
        kinds = [hint, *(get_args(hint) if get_origin(hint) in (Union, UnionType) else ())]
        if name == "return":
            continue
        if _is_list(hint):
            readers[name] = json.loads
        elif _is_text(hint):
            readers[name] = str
        elif kind := next((kind for kind in (bool, int, float) if kind in kinds), None):
            readers[name] = partial(_read, name, kind, NoneType in kinds)
    return readers


def _read(name: str, kind: type[bool] | type[int] | type[float], is_optional: bool, text: str) -> Any:
    """The value of an option. Raises: ValueError naming it."""
    if is_optional and text.lower() == "none":
        return None
    try:
        value = FLAGS[text.lower()] if kind is bool else kind(text)
    except (KeyError, ValueError):
        expected = {bool: "true or false", int: "a whole number", float: "a number"}[kind]
        raise ValueError(f"--{name}: expected {expected}, got {text!r}") from None
    if kind is float and not math.isfinite(value):
        raise ValueError(f"--{name}: expected a finite number, got {text!r}")
    return value


def _with_values(words: Sequence[str], options: set[str], texts: set[str]) -> list[str]:
    """The words with every text option and its value as one, as fire takes values that begin with a dash.

    Raises: ValueError for a text option without a value, which fire would make the text "True".
    """
    joined: list[str] = []
    rest = iter(words)
    for word in rest:
        if _option(word) not in texts or "=" in word:
            joined.append(word)
            continue
        value = next(rest, None)
        if value is None or _option(value) in options:
            raise ValueError(f"{word}: expected a value, got {'none' if value is None else f'the option {value}'}")
        joined.append(f"{word}={value}")
    return joined


def _with_lists(words: Sequence[str], lists: set[str]) -> list[str]:
    """The words with every list option and its values as one: `--moving A B`, or separated by commas, `--moving A,B`.

    A single value that is a file is not divided. Raises: ValueError for a list option without a value, or given twice.
    """
    joined: list[str] = []
    given: set[str] = set()
    rest = list(words)
    while rest:
        word = rest.pop(0)
        if _option(word) not in lists:
            joined.append(word)
            continue
        name, is_joined, value = word.partition("=")
        if name in given:  # fire would drop the first values
            raise ValueError(f"{name}: expected once, with all its values after it, got it twice")
        given.add(name)
        values = [value] if is_joined else []
        while rest and _option(rest[0]) is None:
            values.append(rest.pop(0))
        if len(values) == 1 and not os.path.exists(values[0]):
            values = values[0].split(",")
        if not values or "" in values:
            raise ValueError(f"{name}: expected one or more values, got {','.join(values) or 'none'}")
        joined.append(f"{name}={json.dumps(values)}")
    return joined


def _check_known(words: Sequence[str], options: Sequence[str]) -> None:
    """Look for what fire would find only after the command has run, perhaps for hours.

    Args:
        words: every text with its option as one, see `_with_values`.
        options: of the command.
    Raises: ValueError for an option that it does not have, or more words than it has options left.
    """
    flags = [_option(word) for word in words]
    for word, name in zip(words, flags, strict=True):
        is_known = name is None or {name, name.removeprefix("no")} & {*options}  # fire's --noflag is --flag false
        if not is_known and not (len(str(name)) == 1 and [option[0] for option in options].count(str(name)) == 1):
            expected = ", ".join(f"--{option}" for option in options)
            raise ValueError(f"{word.partition('=')[0]}: no such option; expected one of {expected}")
    is_value = [False, *(name is not None and "=" not in word for word, name in zip(words, flags, strict=True))]
    further = [word for word, name, value in zip(words, flags, is_value, strict=False) if name is None and not value]
    room = len(options) - len({*flags} - {None})
    if len(further) > room:
        raise ValueError(f"{further[room]}: one argument too many; values stand after their options")


def _option(word: str) -> str | None:
    """The name of the option that a word gives; None if it is none."""
    flag = FLAG.fullmatch(word)
    return None if flag is None else flag[2].replace("-", "_")


def _is_list(hint: Any) -> bool:
    """Whether an option takes several texts: `list[str]`, or None."""
    return hint == list[str] or (get_origin(hint) in (Union, UnionType) and list[str] in get_args(hint))


def _is_text(hint: Any) -> bool:
    if get_origin(hint) is Literal:
        return all(isinstance(value, str) for value in get_args(hint))
    return hint is str or (get_origin(hint) in (Union, UnionType) and any(map(_is_text, get_args(hint))))


def quiet() -> None:
    """Log to standard error without what users of a command cannot act on: engine states, missing decoders."""
    import logging
    import warnings

    logging.basicConfig(level=logging.INFO, format="%(message)s")
    logging.getLogger("ignite").setLevel(logging.CRITICAL)  # it repeats every error
    logging.getLogger("monai").setLevel(logging.ERROR)
    warnings.filterwarnings("ignore", module=r"monai\b")


def _renamed(word: str, names: Mapping[str, str]) -> str:
    flag = FLAG.fullmatch(word)
    if flag is None:
        return word
    dashes, name, value = flag.groups(default="")
    return f"{dashes}{names.get(name.replace('-', '_'), name)}{value}"
