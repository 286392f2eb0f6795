from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from monai.transforms import Compose

from bundle import refusals
from bundle.io import check_header
from bundle.refusals import REFUSED, STOPPED, reason_of, show_reasons_last
from tests.conftest import SyntheticPair

ROOT = Path(__file__).parents[1]
REGISTER = [sys.executable, "-m", "scripts.register"]
HANGS_S = 120  # not a measure of speed
MONAI = [sys.executable, "-m", "monai.bundle", "run", "--config_file", "configs/inference.json"]


@pytest.fixture(autouse=True)
def _signals() -> Iterator[None]:
    """Signals as in a terminal: what a shell runs in the background ignores Ctrl-C, and children inherit that."""
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


def refused(action: object) -> BaseException:
    assert callable(action)
    with pytest.raises(Exception) as caught:  # noqa: PT011  # of any kind
        action()
    return caught.value


def test_the_reason_is_found_below_what_monai_wraps_around_it(tmp_path: Path) -> None:
    error = refused(lambda: Compose([check_header])(str(tmp_path / "none.nii")))
    assert type(error) is RuntimeError
    assert str(reason_of(error)).startswith(f"{tmp_path / 'none.nii'}: no such file or folder")


def test_errors_of_the_system_name_their_file(tmp_path: Path) -> None:
    assert (
        reason_of(refused(lambda: (tmp_path / "none").read_text())) == f"{tmp_path / 'none'}: No such file or directory"
    )
    assert reason_of(OSError(28, "No space left on device")) == "No space left on device"


def test_faults_of_the_program_have_no_reason() -> None:
    assert reason_of(refused(lambda: int("one"))) is None
    assert reason_of(refused(lambda: [][0])) is None


def test_a_refusal_ends_with_its_reason_and_the_details_before_it(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stopped, refusals.refusals():
        raise FileNotFoundError("2 of 3 pairs cannot be used:\npair 'a': no file\npair 'b': no file")
    assert stopped.value.code == REFUSED
    assert capsys.readouterr().err == "pair 'a': no file\npair 'b': no file\n2 of 3 pairs cannot be used\n"


@pytest.mark.parametrize("sent", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_is_one_line(sent: signal.Signals, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stopped, refusals.refusals():
        signal.raise_signal(sent)
    assert stopped.value.code == STOPPED
    assert capsys.readouterr().err == "stopped\n"


def test_debugging_and_faults_of_the_program_keep_their_traceback() -> None:
    with pytest.raises(FileNotFoundError), refusals.refusals(debug=True):
        raise FileNotFoundError("none")
    with pytest.raises(IndexError), refusals.refusals():
        raise IndexError


def test_other_processes_that_run_a_config_are_unchanged() -> None:
    before = sys.excepthook
    show_reasons_last()
    assert sys.excepthook is before


@pytest.mark.slow
def test_monais_own_command_ends_with_the_reason(tmp_path: Path) -> None:
    options = ["--fixed", "none.nii", "--moving", "none.nii", "--output_dir", str(tmp_path / "out")]
    done = subprocess.run([*MONAI, *options], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == REFUSED
    assert "none.nii" in done.stderr.splitlines()[-1]
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "out").exists()


@pytest.mark.slow
@pytest.mark.parametrize("sent", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("command", [REGISTER, MONAI], ids=["script", "monai.bundle"])
def test_a_run_that_is_stopped_says_so_and_leaves_nothing(
    command: list[str], sent: signal.Signals, synthetic_pair: Callable[..., SyntheticPair], tmp_path: Path
) -> None:
    item = synthetic_pair().item
    options = ["--fixed", item["fixed"], "--moving", item["moving"], "--output_dir", str(tmp_path / "deep" / "out")]
    running = subprocess.Popen([*command, *options], cwd=ROOT, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL)
    assert running.stderr is not None
    seen = b""
    while b"instance optimisation" not in seen and (more := running.stderr.read1(4096)):
        seen += more
    running.send_signal(sent)
    rest = running.stderr.read().decode().replace("\r", "\n").splitlines()
    assert running.wait() == STOPPED, rest
    assert rest[-1] == "stopped"
    assert not any("Traceback" in line or "ERROR" in line for line in rest)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_a_run_of_many_pairs_that_is_stopped_finishes_no_pair_and_leaves_nothing(
    synthetic_pair: Callable[..., SyntheticPair], tmp_path: Path
) -> None:
    """While one pair is registered, the next one is read in a thread."""
    item = {key: synthetic_pair().item[key] for key in ("fixed", "moving")}
    pairs = [{"name": name, **item} for name in ("first", "second", "third")]
    (tmp_path / "pairs.json").write_text(json.dumps({"test": pairs}))
    options = ["--pairs_file", str(tmp_path / "pairs.json"), "--output_dir", str(tmp_path / "out")]
    running = subprocess.Popen([*MONAI, *options], cwd=ROOT, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL)
    assert running.stderr is not None
    seen = b""
    while b"instance optimisation" not in seen and (more := running.stderr.read1(4096)):
        seen += more
    running.send_signal(signal.SIGINT)
    rest = running.communicate(timeout=HANGS_S)[1].decode().replace("\r", "\n").splitlines()
    assert running.returncode == STOPPED, rest
    assert rest[-1] == "stopped"
    assert not any("Traceback" in line or "ERROR" in line for line in rest)
    assert [path.name for path in tmp_path.rglob("*")] == ["pairs.json"]
