from __future__ import annotations

import json
from pathlib import Path

import pytest

from bundle.data import FUNCTION_FOLDER, FUNCTION_REPORT, function_figures


def test_figures_are_found_by_their_folder(tmp_path: Path) -> None:
    assert function_figures(tmp_path) == []
    (tmp_path / FUNCTION_FOLDER).mkdir()
    figures = [{"title": "Lung function", "file": "lung_function.png", "caption": "All maps."}]
    (tmp_path / FUNCTION_FOLDER / FUNCTION_REPORT).write_text(json.dumps({"figures": figures}))
    (figure,) = function_figures(tmp_path)
    assert figure == ("Lung function", tmp_path / FUNCTION_FOLDER / "lung_function.png", "All maps.")


def test_a_damaged_report_is_named(tmp_path: Path) -> None:
    (tmp_path / FUNCTION_FOLDER).mkdir()
    (tmp_path / FUNCTION_FOLDER / FUNCTION_REPORT).write_text("{")
    with pytest.raises(ValueError, match=r"lung_function\.json, line 1: malformed JSON"):
        function_figures(tmp_path)
