"""Command lines of the scripts: python-fire, with the former names of options as silent aliases."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Mapping, Sequence
from inspect import signature

import fire

Command = Callable[..., None]
FLAG = re.compile(r"(--?)([A-Za-z][\w-]*)(=.*)?", re.DOTALL)


def run(
    component: Command | Mapping[str, Command],
    old_names: Mapping[str, str | tuple[str, ...]] | None = None,
    arguments: Sequence[str] | None = None,
) -> None:
    """Call a function, or one of several by its subcommand, with command-line arguments.

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
    fire.Fire(component, [_renamed(word, names) for word in words[:end]] + words[end:])


def quiet() -> None:
    """Log to standard error without what users of a command cannot act on: engine states, missing decoders."""
    import logging
    import warnings

    logging.basicConfig(level=logging.INFO, format="%(message)s")
    logging.getLogger("ignite").setLevel(logging.WARNING)
    logging.getLogger("monai").setLevel(logging.ERROR)
    warnings.filterwarnings("ignore", module=r"monai\b")


def _renamed(word: str, names: Mapping[str, str]) -> str:
    flag = FLAG.fullmatch(word)
    if flag is None:
        return word
    dashes, name, value = flag.groups(default="")
    return f"{dashes}{names.get(name.replace('-', '_'), name)}{value}"
