"""What the parts of a training compute, as plain values that a checkpoint holds and a resumed run compares."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import nn

PLAIN = (bool, int, float, str, type(None))
MAX_DEPTH = 8  # of parts within parts: more is no setting
NOT_SETTINGS = ("training", "R")  # states of modules and of random transforms


def description_of(parts: Mapping[str, Any]) -> dict[str, Any]:
    """Classes and settings of objects, whatever config file or command line set them, by their dotted names.

    A setting is a public attribute that is a plain value or consists of such; tensors, paths and states are none.

    Args:
        parts: losses, transforms and others, by name.
    """
    found: dict[str, Any] = {}
    for name, part in parts.items():
        _describe(name, part, found, MAX_DEPTH)
    return found


def _describe(name: str, part: Any, found: dict[str, Any], depth: int) -> None:
    if isinstance(part, PLAIN):
        found[name] = part
        return
    if depth == 0:
        return
    if isinstance(part, Mapping):
        inner = part.items()
    elif isinstance(part, (list, tuple)):
        inner = dict(enumerate(part)).items()
    elif callable(part) and hasattr(part, "__dict__"):
        kind = part if hasattr(part, "__qualname__") else type(part)  # a function, or an object
        found[name] = kind.__qualname__
        modules = part.named_children() if isinstance(part, nn.Module) else ()
        inner = (vars(part) | dict(modules)).items() if kind is not part else ()
    else:
        return
    for key, value in inner:
        if not str(key).startswith("_") and key not in NOT_SETTINGS:
            _describe(f"{name}.{key}", value, found, depth - 1)
