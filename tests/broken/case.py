"""A broken input."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

Reader = Literal[
    "image",
    "mask",
    "landmarks",
    "pairs",
    "recipe",
    "weights",
    "transform",
    "any transform",
    "displacement",
    "dirlab",
]
SHAPE = (8, 9, 10)


@dataclass(frozen=True)
class Broken:
    """A file or folder that its reader must refuse.

    Args:
        name: says what is wrong.
        reader: which function of `tests.broken.read` reads it.
        path: what is given to the reader.
        mentions: text that the error must hold; the name of the file by default.
    """

    name: str
    reader: Reader
    path: str
    mentions: str


class Collection:
    """Broken inputs in a folder, each in a folder of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.cases: list[Broken] = []

    def add(
        self,
        name: str,
        reader: Reader,
        file: str,
        content: bytes | str,
        *,
        mentions: str | None = None,
        **others: bytes,
    ) -> Path:
        """Write a file, and others beside it by their names (with _ for the dot)."""
        place = self.folder / f"{len(self.cases):03d}"
        place.mkdir(parents=True)
        data = content.encode() if isinstance(content, str) else content
        (place / file).write_bytes(data)
        for other, other_data in others.items():
            (place / other.replace("_", ".")).write_bytes(other_data)
        self.cases.append(Broken(name, reader, str(place / file), file if mentions is None else mentions))
        return place / file

    def add_path(self, name: str, reader: Reader, path: Path, *, mentions: str | None = None) -> None:
        """Add a file or folder that exists already, or does not exist."""
        self.cases.append(Broken(name, reader, str(path), path.name if mentions is None else mentions))

    def save(self) -> Path:
        """Write the list of cases as JSON."""
        file = self.folder / "cases.json"
        file.write_text(json.dumps([asdict(case) for case in self.cases]))
        return file
