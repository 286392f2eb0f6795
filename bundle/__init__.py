"""Registration of lung CT with a Recursive Refinement Network: `from bundle import register_pair`."""

from __future__ import annotations

from typing import Any

__version__ = "0.7.0"  # the one source: pyproject.toml reads it, tests hold metadata.json and CHANGELOG.md equal
__all__ = ["register_pair"]


def __getattr__(name: str) -> Any:
    """Import on first use: who needs a network only, as a loaded TorchScript does, need not import all the rest."""
    if name in __all__:
        from bundle.processors import share_processors

        share_processors()  # before torch is imported, if it is not yet
        from bundle.register import register_pair

        return register_pair
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
