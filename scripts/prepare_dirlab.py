"""Convert DIR-Lab downloads to NIfTI scans, landmark files and a pairs file."""

from __future__ import annotations

import logging
import sys
from collections.abc import Sequence
from pathlib import Path

from tqdm import tqdm

sys.path.insert(0, str(Path(__file__).absolute().parents[1]))  # run as a file, from any folder

from scripts.cli import run

log = logging.getLogger(__name__)


def prepare_dirlab(
    source: str, output_dir: str, *, training: str | Sequence[str] = (), validation: str | Sequence[str] = ()
) -> None:
    """Convert the DIR-Lab COPDgene and 4DCT cases below SOURCE to OUTPUT_DIR/CASE/; list them in OUTPUT_DIR/pairs.json.

    Scans become NIfTI (int16, HU, native grid; inhale is fixed, exhale moving), landmarks .csv (LPS mm). Converted
    cases are kept: interrupted runs resume, and the two collections can be added one after the other.

    Args:
        source: folder with the unpacked downloads, any subset of cases at any depth.
        output_dir: folder, created if missing.
        training: cases for the section `training`, such as copd1,copd2; all others go to `test`.
        validation: cases for the section `validation`.
    Raises: ValueError if no case is usable, or TRAINING or VALIDATION names an unknown or unusable one.
    """
    from bundle.data.dirlab_pairs import case_names, convert_case, write_pairs
    from bundle.data.pairs import PAIRS_FILE
    from bundle.io.dirlab import find_cases

    logging.basicConfig(level=logging.INFO, format="%(message)s")
    sections = {"training": case_names(training), "validation": case_names(validation)}
    folder = Path(output_dir)
    cases = find_cases(source)
    folder.mkdir(parents=True, exist_ok=True)
    problems = {}
    for case in tqdm(cases, desc="DIR-Lab cases", unit="case"):
        try:
            convert_case(case, folder / case.name)
        except (FileNotFoundError, ValueError) as error:
            problems[case.name] = "missing" if not case.files else f"broken: {error}"
    usable = write_pairs(folder, **sections)
    for case in cases:
        log.info("%-7s %s", case.name, problems.get(case.name, "ok") if case.name not in usable else "ok")
    if not usable:
        raise ValueError(f"{source}: none of its DIR-Lab cases can be used")
    log.info("%d cases in %s", len(usable), folder / PAIRS_FILE)


if __name__ == "__main__":
    run(prepare_dirlab, old_names={"out": "output_dir"})
