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
    inner: Mapping[Any, Any] = {}
    if isinstance(part, Mapping):
        inner = part
    elif isinstance(part, (list, tuple)):
        inner = dict(enumerate(part))
    elif hasattr(part, "__qualname__"):  # a function or a class
        found[name] = part.__qualname__
    elif callable(part) and hasattr(part, "__dict__"):
        found[name] = type(part).__qualname__
        inner = vars(part) | dict(part.named_children() if isinstance(part, nn.Module) else ())
    for key, value in inner.items():
        if not str(key).startswith("_") and key not in NOT_SETTINGS:
            _describe(f"{name}.{key}", value, found, depth - 1)
