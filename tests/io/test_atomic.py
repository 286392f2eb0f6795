import errno
import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from bundle.io import atomic_path, make_folder
from bundle.io.atomic import locked_folder

ROOT = Path(__file__).parents[2]


def test_a_file_appears_whole_and_keeps_its_suffixes(tmp_path: Path) -> None:
    target = tmp_path / "warped.nii.gz"
    with atomic_path(target) as temporary:
        temporary.write_text("new")
        assert temporary.name == target.name
        assert not target.exists()
    assert target.read_text() == "new"
    assert list(tmp_path.iterdir()) == [target]


def write_half(target: Path) -> None:
    with atomic_path(target) as temporary:
        temporary.write_text("half")
        raise RuntimeError("disk full")


def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    target = tmp_path / "report.json"
    target.write_text("old")
    with pytest.raises(RuntimeError, match="disk full"):
        write_half(target)
    assert target.read_text() == "old"
    assert list(tmp_path.iterdir()) == [target]


def test_a_missing_folder_is_named(tmp_path: Path) -> None:
    with (
        pytest.raises(FileNotFoundError, match=r"a\.csv: the folder .*nowhere does not exist"),
        atomic_path(tmp_path / "nowhere" / "a.csv"),
    ):
        pass


HOLD = """
import sys, time
from bundle.io.atomic import locked_folder
with locked_folder(sys.argv[1]):
    print("held", flush=True)
    time.sleep(1)
    open(sys.argv[1] + "/first", "w").close()
"""


def test_a_second_process_waits_for_the_folder_and_leaves_no_lock(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    process = subprocess.Popen([sys.executable, "-c", HOLD, str(tmp_path)], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    with locked_folder(tmp_path):
        assert [path.name for path in tmp_path.iterdir()] == ["first"]
    assert process.wait() == 0
    assert "another process is writing to this folder" in caplog.text
    assert [path.name for path in tmp_path.iterdir()] == ["first"]


def test_the_lock_of_a_killed_process_is_gone(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    process = subprocess.Popen([sys.executable, "-c", HOLD, str(tmp_path)], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    process.kill()
    process.wait()
    with locked_folder(tmp_path):
        assert not list(tmp_path.iterdir())
    assert not caplog.text


def test_threads_of_one_process_take_turns_too(tmp_path: Path) -> None:
    inside: list[int] = []

    def work(number: int) -> None:
        with locked_folder(tmp_path):
            inside.append(number)
            time.sleep(0.05)
            assert inside[-1] == number

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(inside) == [0, 1, 2, 3]


@pytest.mark.parametrize("is_used", [False, True])
def test_a_created_folder_is_removed_at_the_end_if_it_is_empty(is_used: bool, tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    code = f"""
from pathlib import Path
from bundle.io import make_folder
for folder in ("mine", "out", "out/case"):
    make_folder(folder)
if {is_used}:
    Path("out/report.json").write_text("")
raise SystemExit(2)
"""
    subprocess.run([sys.executable, "-c", code], cwd=tmp_path, env={**os.environ, "PYTHONPATH": str(ROOT)})
    left = {"mine", "out", "out/report.json"} if is_used else {"mine"}
    assert {str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*")} == left


def test_a_file_in_the_place_of_a_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "out").write_text("a file")
    with pytest.raises(NotADirectoryError, match="out: the output folder cannot be created: File exists"):
        make_folder(tmp_path / "out")


def test_an_error_while_writing_names_the_file_in_the_making(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="No space left") as caught, atomic_path(tmp_path / "a.json"):
        raise OSError(errno.ENOSPC, "No space left on device")
    assert caught.value.filename == str(tmp_path / "a.json")
    with pytest.raises(FileNotFoundError) as other, atomic_path(tmp_path / "a.json"):
        (tmp_path / "missing").read_text()
    assert other.value.filename == str(tmp_path / "missing") or other.value.filename == tmp_path / "missing"
