from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import pytest

from bundle.formats import check_files
from bundle.refusals import REFUSED
from scripts.cli import run
from tests.broken.nifti import with_fields

ROOT = Path(__file__).parents[2]
HEAVY = {"torch", "monai", "itk"}
NOTE_IMPORTS = """
import atexit, runpy, sys
imported = sys.argv.pop(1)
atexit.register(lambda: open(imported, "w").write(" ".join(sys.modules)))
runpy.run_module("scripts.register", run_name="__main__", alter_sys=True)
"""
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


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (["--unknown", "b"], "--unknown: no such option; expected one of --scan, --output_dir, --seed"),
        (["--unknown"], "--unknown: no such option; expected one of --scan, --output_dir, --seed"),
        (["--seeds=3"], "--seeds: no such option; expected one of --scan, --output_dir, --seed"),
        (["--nothing", "3"], "--nothing: no such option; expected one of --scan, --output_dir, --seed"),
        (["3", "4"], "4: one argument too many; values stand after their options"),
        (["--seed", "3", "4"], "4: one argument too many; values stand after their options"),
    ],
)
@pytest.mark.parametrize("of_several", [False, True])
def test_what_the_command_cannot_take_is_refused_before_it_runs(
    words: list[str], reason: str, of_several: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    component, first = ({"write": write, "draw": draw}, ["write"]) if of_several else (write, [])
    with pytest.raises(SystemExit) as stopped:
        run(component, arguments=[*first, "a.nii", "out", *words])
    assert stopped.value.code == REFUSED
    assert capsys.readouterr() == ("", f"{reason}\n")


@pytest.mark.parametrize("word", ["-s=3", "--seed=3", "--seed", "--noseed"])
def test_fires_short_forms_are_known(word: str, capsys: pytest.CaptureFixture[str]) -> None:
    def count(seed: int = 0, *, is_loud: bool = False) -> None:
        print(seed, is_loud)

    def speak(*, seed: bool = True) -> None:
        print(seed)

    run(count if word.endswith("3") else speak, arguments=[word])
    assert capsys.readouterr().out.split()[0] == {"-s=3": "3", "--seed=3": "3", "--noseed": "False"}.get(word, "True")


TEXTS = (
    "20240115", "301", "12_34", "1e5", "a,b", "[x]", "case#2", "True", "None", "{a: 1}", "'quoted'", "0x1F", "a b",
    "$x", "@y", "ü", "a=b",
)  # fmt: skip


@pytest.mark.parametrize("text", TEXTS)
@pytest.mark.parametrize("form", ["equals", "separate", "positional"])
def test_a_text_arrives_exactly_as_typed(form: str, text: str) -> None:
    received: list[object] = []

    def convert(scan: str, kind: Literal["a", "b"] | None = None, names: str | Sequence[str] = (), n: int = 0) -> None:
        received.extend([scan, kind, names, n])

    words = {"equals": [f"--scan={text}"], "separate": ["--scan", text], "positional": [text]}[form]
    run(convert, arguments=[*words, "--kind", text, f"--names={text}", "--n", "3"])
    assert received == [text, text, text, 3]


@pytest.mark.parametrize("text", ["-x", "--x", "-case", "-", "-1"])
@pytest.mark.parametrize("flag", ["--scan", "-scan"])
def test_a_text_may_begin_with_a_dash(flag: str, text: str, capsys: pytest.CaptureFixture[str]) -> None:
    run(write, arguments=[flag, text, "--output-dir", text, "--seed", "-3"])
    assert capsys.readouterr().out == f"write {text} {text} -3\n"


@pytest.mark.parametrize(
    ("words", "found"),
    [(["--scan", "--output_dir", "b"], "the option --output_dir"), (["--scan", "a", "--output_dir"], "none")],
)
def test_a_text_option_without_a_value_is_refused(
    words: list[str], found: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Not read as the text True."""
    with pytest.raises(SystemExit) as stopped:
        run(write, arguments=words)
    assert stopped.value.code == REFUSED
    assert capsys.readouterr().err.endswith(f": expected a value, got {found}\n")


def test_numbers_and_switches_are_still_read() -> None:
    received: list[object] = []

    def convert(n: int = 0, s: float | None = None, switch: bool = False) -> None:
        received.extend([n, s, switch])

    run({"convert": convert}, arguments=["convert", "--n=12", "--s", "1e-3", "--switch"])
    run({"convert": convert}, arguments=["convert", "--n", "-12", "--s=none", "--switch", "false"])
    run({"convert": convert}, arguments=["convert", "--s", "-1000", "--noswitch"])
    assert received == [12, 0.001, True, -12, None, False, 0, -1000.0, False]


@pytest.mark.parametrize(
    ("option", "message"),
    [
        ("--n=1.5", "--n: expected a whole number, got '1.5'"),
        ("--s=wide", "--s: expected a number, got 'wide'"),
        ("--s=nan", "--s: expected a finite number, got 'nan'"),
        ("--switch=perhaps", "--switch: expected true or false, got 'perhaps'"),
    ],
)
def test_what_is_no_number_or_switch_is_refused_by_name(
    option: str, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    def convert(n: int = 0, s: float | None = None, switch: bool = False) -> None:
        raise AssertionError

    with pytest.raises(SystemExit) as stopped:
        run(convert, arguments=[option])
    assert (stopped.value.code, capsys.readouterr().err) == (REFUSED, message + "\n")


def test_a_refused_input_is_one_line_without_a_traceback(capsys: pytest.CaptureFixture[str]) -> None:
    def refuse_as_the_library_does(scan: str) -> None:
        check_files({"scan": scan}, {})

    with pytest.raises(SystemExit) as stopped:
        run(refuse_as_the_library_does, arguments=["none.nii"])
    assert stopped.value.code == REFUSED
    assert capsys.readouterr().err.splitlines()[-1].startswith("none.nii: no such file or folder")
    with pytest.raises(FileNotFoundError):
        run(refuse_as_the_library_does, arguments=["none.nii", "--debug"])


@pytest.mark.parametrize("options", [[], ["--debug"]], ids=["plain", "debug"])
def test_a_header_fault_is_told_before_torch_is_loaded(options: list[str], tmp_path: Path) -> None:
    (tmp_path / "scan.nii").write_bytes(with_fields(dim_1=0))
    arguments = ["--fixed", str(tmp_path / "scan.nii"), "--moving", str(tmp_path / "scan.nii")]
    arguments += ["--output_dir", str(tmp_path / "out"), *options]
    command = [sys.executable, "-c", NOTE_IMPORTS, str(tmp_path / "imported"), *arguments]
    process = subprocess.run(
        command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False
    )
    shown = process.stdout
    assert "scan.nii: expected one 3-D volume, got an image of shape (0, 9, 10)" in shown.splitlines()[-1]
    assert ("Traceback" in shown) is bool(options)
    assert options or (process.returncode == REFUSED and len(shown.splitlines()) == 1)
    assert not HEAVY & set((tmp_path / "imported").read_text().split())
    assert not (tmp_path / "out").exists()


def stack(output: str, inputs: list[str] | None = None, seed: int = 0) -> None:
    """Stack INPUTS in OUTPUT."""
    print(f"stack {inputs} {output} {seed}")


@pytest.mark.parametrize(
    "words",
    [
        ["--inputs", "a", "1e5", "--output", "o"],
        ["--output", "o", "--inputs", "a,1e5"],
        ["--inputs=a,1e5", "--output=o"],
        ["o", "--inputs", "a", "1e5"],
    ],
)
def test_a_list_takes_several_words_or_one_with_commas(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    run(stack, arguments=words)
    assert capsys.readouterr().out == "stack ['a', '1e5'] o 0\n"


def test_names_with_commas_are_kept_in_several_words(capsys: pytest.CaptureFixture[str]) -> None:
    run(stack, arguments=["--inputs", "a,b.nii", "c d.nii", "--output", "o", "--seed", "2"])
    assert capsys.readouterr().out == "stack ['a,b.nii', 'c d.nii'] o 2\n"


@pytest.mark.parametrize("words", [["--inputs", "--output", "o"], ["--output", "o", "--inputs"], ["--inputs", "a,"]])
def test_a_list_without_a_value_is_refused(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        run(stack, arguments=words)
    assert stopped.value.code == REFUSED
    assert "--inputs: expected one or more values" in capsys.readouterr().err.splitlines()[-1]


def test_a_single_file_with_a_comma_is_one_value(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a, b.nii").touch()
    run(stack, arguments=["--inputs", "a, b.nii", "--output", "o"])
    assert capsys.readouterr().out == "stack ['a, b.nii'] o 0\n"
    run(stack, arguments=["--inputs", ",".join(["c" * 200] * 30), "--output", "o"])  # longer than any path
    assert capsys.readouterr().out.count("c" * 200) == 30


@pytest.mark.parametrize(
    "words", [["--inputs", "a", "--inputs", "b"], ["--inputs=a", "--output", "o", "--inputs", "b"]]
)
def test_a_list_that_is_given_twice_is_refused(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        run(stack, arguments=words)
    assert stopped.value.code == REFUSED
    reason = "--inputs: expected once, with all its values after it, got it twice"
    assert capsys.readouterr().err.splitlines()[-1] == reason
