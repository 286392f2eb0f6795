from __future__ import annotations

import logging
import os
from pathlib import Path

import pytest

from scripts.cli import run
from scripts.report import report
from tests.reports.html.registered import make_registered, write_page


def test_the_index_is_written_and_named(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    write_page(tmp_path / "a", make_registered())
    with caplog.at_level(logging.INFO):
        run(report, arguments=["--pairs", str(tmp_path)])
    assert f"{tmp_path / 'index.html'}: written" in caplog.text
    assert "a/report.html" in (tmp_path / "index.html").read_text()


def test_a_folder_without_results_ends_with_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        run(report, arguments=["--pairs", str(tmp_path / "none")])
    assert stopped.value.code == 2
    assert (
        capsys.readouterr().err.strip().splitlines()[-1].endswith("(expected one with a result folder for each pair)")
    )


def test_a_folder_that_cannot_be_written_ends_with_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    write_page(tmp_path / "a", make_registered())
    monkeypatch.setattr(os, "access", lambda path, mode: False)  # root may write everywhere
    with pytest.raises(SystemExit) as stopped:
        run(report, arguments=["--pairs", str(tmp_path)])
    assert stopped.value.code == 2
    assert capsys.readouterr().err.splitlines()[-1] == f"{tmp_path}: the output folder is not writable"
