from __future__ import annotations

import pytest

from scripts.cli import run

OUT = {"out": ("output_dir", "output")}


def write(scan: str, output_dir: str, seed: int = 0) -> None:
    """Write SCAN to OUTPUT_DIR."""
    print(f"write {scan} {output_dir} {seed}")


def draw(output: str = "picture.png") -> None:
    """Draw the picture OUTPUT."""
    print(f"draw {output}")


@pytest.mark.parametrize(
    "flag", ["--out=folder", "--out folder", "-out folder", "--output_dir folder", "--output-dir=folder"]
)
def test_former_and_current_names_both_arrive(flag: str, capsys: pytest.CaptureFixture[str]) -> None:
    run(write, old_names={"out": "output_dir"}, arguments=["--scan", "a.nii", *flag.split(), "--seed", "3"])
    assert capsys.readouterr().out == "write a.nii folder 3\n"


def test_each_subcommand_has_its_own_current_name(capsys: pytest.CaptureFixture[str]) -> None:
    run({"write": write, "draw": draw}, old_names=OUT, arguments=["write", "a.nii", "--out", "folder"])
    run({"write": write, "draw": draw}, old_names=OUT, arguments=["draw", "--out", "b.png"])
    assert capsys.readouterr().out == "write a.nii folder 0\ndraw b.png\n"


def test_the_command_line_of_the_process_is_the_default(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.argv", ["script.py", "draw", "--out", "out"])
    run({"write": write, "draw": draw}, old_names=OUT)
    assert capsys.readouterr().out == "draw out\n"


def test_help_lists_the_current_name_only(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        run(write, old_names={"out": "output_dir"}, arguments=["--help"])
    assert stopped.value.code == 0
    shown = capsys.readouterr()
    assert "OUTPUT_DIR" in shown.out + shown.err
    assert "--out " not in shown.out + shown.err


def test_a_name_that_the_function_still_accepts_is_left_alone(capsys: pytest.CaptureFixture[str]) -> None:
    def convert(out: str, output_dir: str = "here") -> None:
        print(out, output_dir)

    run(convert, old_names={"out": "output_dir"}, arguments=["--out", "a"])
    assert capsys.readouterr().out == "a here\n"


def test_values_and_fires_own_flags_are_left_alone(capsys: pytest.CaptureFixture[str]) -> None:
    run(write, old_names={"out": "output_dir"}, arguments=["out", "out", "--", "--verbose"])
    assert "write out out 0" in capsys.readouterr().out
    with pytest.raises(SystemExit):
        run(write, old_names={"out": "output_dir"}, arguments=["a.nii", "--unknown", "b"])
