"""Read JSON files that users wrote."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any


def read_json(path: Path, what: str) -> Any:
    """The content of a JSON file in UTF-8.

    Args:
        what: the file's kind, for messages.
    Raises: ValueError naming the file, and the line where it is malformed.
    """
    try:
        return json.loads(path.read_text(encoding="utf-8-sig"))
    except json.JSONDecodeError as error:
        raise ValueError(f"{path}, line {error.lineno}: malformed JSON: {error.msg}") from error
    except UnicodeDecodeError as error:
        raise ValueError(f"{path}: expected a {what} as text in UTF-8, got other bytes at {error.start}") from error
    except RecursionError as error:
        raise ValueError(f"{path}: expected a {what}, got JSON nested too deep") from error
