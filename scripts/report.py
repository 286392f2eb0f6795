"""Write one page about many registered pairs."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).absolute().parents[1]))  # run as a file, from any folder

from scripts.cli import quiet, run


def report(pairs: str) -> None:
    """Write PAIRS/index.html: the pairs in the folders in PAIRS with verdict, figures and pictures, the worst first.

    Each row leads to the report.html of its pair. Folders without a complete result are listed as incomplete.

    Args:
        pairs: folder with a result folder for each pair, such as the output_dir of scripts.register with a pairs file.
    Raises: FileNotFoundError, ValueError if there is no result folder in it.
    """
    quiet()
    import logging

    from bundle.reports.html import write_index

    logging.getLogger(__name__).info("%s: written", write_index(pairs))


if __name__ == "__main__":
    run(report)
