"""Flags of the command line."""

from __future__ import annotations


def flag(*, name: str, value: bool | str) -> bool:
    """True or False, also from their names: MONAI passes `--mirror false` on as text, which Python counts as true.

    Args:
        name: of the option, for the error.
        value: a bool, or "true" or "false" in any case.
    Raises: ValueError for another value.
    """
    if isinstance(value, bool):
        return value
    try:
        return {"true": True, "false": False}[str(value).lower()]
    except KeyError as error:
        raise ValueError(f"--{name}: expected true or false, got {value!r}") from error
