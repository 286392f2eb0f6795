from __future__ import annotations

import csv
from collections.abc import Callable
from pathlib import Path

import pytest

from scripts.benchmark.resources.speed import Run, checked_out, compare_speed, medians, speed_markdown
from tests.conftest import SyntheticPair

REGISTER = """
import shutil, sys
from pathlib import Path

def register(
    fixed: str,
    {output}: str,
) -> None: ...

given = dict(zip(sys.argv[1::2], sys.argv[2::2]))
folder = Path(given["--{output}"])
folder.mkdir()
rows = [line.split(",") for line in Path(given["--fixed_landmarks"]).read_text().splitlines()[1:]]
moved = [f"{{float(x) + {shift}}},{{y}},{{z}}" for x, y, z in rows]
(folder / "moving_landmarks.csv").write_text("x,y,z\\n" + "\\n".join(moved) + "\\n")
(folder / "large").write_bytes(b"0" * {size})
Path("order.txt").open("a").write(given.get("--refine", "default") + " ")
"""


def bundle_of(folder: Path, *, output: str, shift: float, size: int) -> Path:
    """A bundle whose registration shifts every point by some mm along x."""
    (folder / "scripts").mkdir(parents=True)
    (folder / "scripts" / "register.py").write_text(REGISTER.format(output=output, shift=shift, size=size))
    return folder


def test_two_revisions_are_run_in_turns_and_scored_from_what_they_wrote(
    synthetic_pair: Callable[..., SyntheticPair], tmp_path: Path
) -> None:
    item = dict(synthetic_pair().item)
    item |= {"moving_landmarks": item["fixed_landmarks"], "moving": item["fixed"], "landmark_system": "lps"}
    before = bundle_of(tmp_path / "before", output="out", shift=3.0, size=2_000_000)
    after = bundle_of(tmp_path / "after", output="output_dir", shift=-1.5, size=500_000)
    out = tmp_path / "table"
    compare_speed([item], out, before=str(before), after=after, repeats=2, masks=False)
    for root in (before, after):  # two at once end in any order
        assert (root / "order.txt").read_text() == "default none default default " * 2
    with (out / "speed.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [(row["kind"], row["side"], row["repeat"]) for row in rows[:4]] == [
        ("default", "before", "0"),
        ("default", "after", "0"),
        ("network only", "before", "0"),
        ("network only", "after", "0"),
    ]
    assert len(rows) == 2 * 3 * 2
    assert [float(row["tre_mm"]) for row in rows] == pytest.approx([3.0, 1.5] * 6, abs=1e-4)
    ones = [float(row["written_mb"]) for row in rows if row["kind"] != "two at once"]
    assert ones == pytest.approx([2.0, 0.5] * 4, abs=0.01)
    assert not list(out.rglob("large"))


def run(kind: str, side: str, repeat: int, time_s: float) -> Run:
    return Run("chest", kind, side, repeat, time_s, cpu_s=2 * time_s, peak_memory_mib=100, written_mb=1, tre_mm=0.5)


def test_the_table_holds_medians_and_their_ratios() -> None:
    times = {("default", "before"): (30, 10, 20), ("default", "after"): (8, 12, 10)}
    times |= {("two at once", "before"): (70, 60, 90), ("two at once", "after"): (14, 13, 15)}
    runs = [run(*key, repeat, time_s) for key, values in times.items() for repeat, time_s in enumerate(values)]
    assert medians(runs)["chest", "default", "before"]["time_s"] == 20
    table = speed_markdown(runs)
    assert "| chest, default, time_s | 20.0 | 10.0 | 0.50 |" in table
    assert "| chest, two at once, time over that of one | 3.50 | 1.40 | 0.40 |" in table
    assert "Medians of 3 runs" in table


def test_a_revision_is_checked_out_into_a_folder_that_vanishes() -> None:
    with checked_out("HEAD") as root:
        assert (root / "scripts" / "register.py").is_file()
        assert not (root / ".git").exists()
    assert not root.exists()


def test_what_is_no_revision_is_refused() -> None:
    expected = r"before: expected a folder with scripts/register.py or a revision, got 'v0'"
    with pytest.raises(ValueError, match=expected), checked_out("v0"):
        pass
