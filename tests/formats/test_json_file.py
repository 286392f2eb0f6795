from __future__ import annotations

from pathlib import Path

import pytest

from bundle.formats.json_file import read_json


def test_a_byte_order_mark_is_no_content(tmp_path: Path) -> None:
    (tmp_path / "pairs.json").write_bytes(b'\xef\xbb\xbf{"a": [1]}')
    assert read_json(tmp_path / "pairs.json", "pairs file") == {"a": [1]}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b'{"a": 1,\n"b"}', r"pairs\.json, line 2: malformed JSON"),
        (b"\x80\x81", r"pairs\.json: expected a pairs file as text in UTF-8, got other bytes at 0"),
        (b"[" * 100_000, r"pairs\.json: expected a pairs file, got JSON nested too deep"),
    ],
)
def test_what_is_wrong_is_said_with_the_name_of_the_file(tmp_path: Path, content: bytes, message: str) -> None:
    (tmp_path / "pairs.json").write_bytes(content)
    with pytest.raises(ValueError, match=message):
        read_json(tmp_path / "pairs.json", "pairs file")
