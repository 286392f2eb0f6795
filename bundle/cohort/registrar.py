"""Register pair after pair with a model that is kept, and read the next pair meanwhile."""

from __future__ import annotations

import json
import shutil
import socket
import time
from collections.abc import Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import uuid4

from monai.bundle import ConfigParser
from monai.data import Dataset
from monai.transforms import Compose

from bundle.cohort.folder import CONFIG
from bundle.cohort.row import row_of_report
from bundle.data import as_given, check_pairs, config_with
from bundle.data.pairs_to_register import DICOM, REPORT, SCANS
from bundle.io.dicom_objects import find_sources


@dataclass
class PairRegistrar:
    """Registers pairs as `scripts.register` does: the same config, files and bytes; the network is built once.

    A result folder is written in `work_dir` and moved to `output_dir` when it is complete.

    Args:
        options: ids of `configs/inference.json` with other values.
        output_dir: folder for the result folders, on every machine.
        work_dir: folder on the same disk for what is not complete.
    Raises: FileNotFoundError, ValueError: what is wrong with an option or the weights.
    """

    options: Mapping[str, Any]
    output_dir: Path
    work_dir: Path
    _parser: ConfigParser | None = field(default=None, init=False)
    _coming: tuple[str, Future] | None = field(default=None, init=False)
    _reader: ThreadPoolExecutor = field(default_factory=lambda: ThreadPoolExecutor(1), init=False)

    def __post_init__(self) -> None:
        if not self.work_dir.is_dir():
            raise FileNotFoundError(
                f"{self.work_dir}: not there on {socket.gethostname()}: --output_dir and the scans must lie on a disk "
                "that all machines of the cluster share"
            )
        self._build()

    def __call__(self, pair: Mapping[str, str], following: Mapping[str, str] | None = None) -> dict[str, Any]:
        """Register a pair and return its row of the status, see `bundle.cohort.row`.

        Args:
            pair: name and files, as `bundle.data.read_pairs` gives them.
            following: the pair that is probably next: it is read while this one is computed.
        Raises: FileNotFoundError, ValueError, OSError: why the pair cannot be registered.
        """
        start = time.perf_counter()
        parser = self._parser or self._build()
        preprocessing, dataset, evaluator = map(parser.get_parsed_content, ("preprocessing", "dataset", "evaluator"))
        item = self._take(pair, preprocessing)
        if following is not None:
            self._coming = following["name"], self._reader.submit(self._read, following, preprocessing)
        work = self.work_dir / f"{pair['name']}.{uuid4().hex[:8]}"  # two may work on a pair whose machine seemed lost
        dataset.data[:] = [preprocessing({**item, "output_dir": str(work)}, 1)]
        del item
        try:
            evaluator.run()
            report = json.loads((work / REPORT).read_text())
            publish(work, self.output_dir / pair["name"])
        except BaseException:
            self._parser = None  # Ignite would go on with the run that was interrupted
            raise
        finally:
            dataset.data.clear()
            evaluator.state.batch = evaluator.state.output = None
            shutil.rmtree(work, ignore_errors=True)
        return row_of_report(report) | {"seconds": round(time.perf_counter() - start, 3)}

    def _build(self) -> ConfigParser:
        self._parser = build_workflow(self.options)
        return self._parser

    def _take(self, pair: Mapping[str, str], preprocessing: Compose) -> dict[str, Any]:
        """The pair as it was read ahead, or read now."""
        name, coming = self._coming or ("", None)
        self._coming = None
        if coming is None or name != pair["name"]:
            self._reader = ThreadPoolExecutor(1)  # the other one may read a file that never ends
            coming = self._reader.submit(self._read, pair, preprocessing)
        return coming.result()

    def _read(self, pair: Mapping[str, str], preprocessing: Compose) -> dict[str, Any]:
        """Check a pair and load its scans, the first step of the preprocessing."""
        check_pairs([dict(pair)])
        if DICOM in (self.options.get("write") or ()):
            find_sources({key: pair[key] for key in SCANS}, {key: pair.get(f"{key}_series") for key in SCANS})
        return preprocessing({**pair, "given": as_given(pair)}, 0, 1)


def build_workflow(options: Mapping[str, Any]) -> ConfigParser:
    """The workflow of `configs/inference.json` without pairs, with its weights loaded.

    Raises: FileNotFoundError, ValueError: what is wrong with an option or the weights.
    """
    one = Dataset([{}])  # pairs come preprocessed; the evaluator counts them
    parser = config_with(CONFIG, {**options, "dataset": one})
    parser.get_parsed_content("weights_loader")(parser.get_parsed_content("evaluator"))
    parser.get_parsed_content("preprocessing")
    return parser


def publish(work: Path, folder: Path) -> None:
    """Move a complete result folder to its place, where it appears as a whole.

    A complete folder that is already there stays; an incomplete one is replaced.
    """
    if (folder / REPORT).is_file():
        return
    if folder.exists():
        old = work.with_name(f"{work.name}.old")
        folder.rename(old)
        work.rename(folder)
        shutil.rmtree(old, ignore_errors=True)
    else:
        work.rename(folder)
