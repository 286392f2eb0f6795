"""The output folder of a cohort: results of one version, one network and one set of options."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from bundle import __version__
from bundle.cohort.row import row_of_report
from bundle.data import FILE_KEYS, as_given, bundle_root, config_with
from bundle.data.pairs_to_register import REPORT
from bundle.formats import read_json
from bundle.io import atomic_path, make_folder
from bundle.voxel_size import check_voxels_mm

CONTRACT = "cohort.json"
HIDDEN = ".cohort"  # holds what is not complete
CONFIG = Path(bundle_root()) / "configs" / "inference.json"
SETTINGS = ("refine", "refine_budget_s", "spacing_mm")  # as report.json has them
OF_RECIPE = ("network_spacing_mm", "spatial_size", "alignment")
RESULTS = ("write", "maps", "smooth_mm")  # what a result folder holds
WHAT_TO_DO = "name another --output_dir, or replace its results with --overwrite true"

Pair = Mapping[str, str]


def contract_of(options: Mapping[str, Any]) -> dict[str, Any]:
    """What all results of a folder have in common, by ids of `configs/inference.json` with other values.

    Raises: FileNotFoundError, ValueError: what is wrong with the weights' recipe, or with the voxels of the grid.
    """
    check_voxels_mm(options)
    parser = config_with(CONFIG, options)
    recipe = parser.get_parsed_content("recipe")
    settings = {name: parser.get_parsed_content(name) for name in SETTINGS}
    settings |= {name: getattr(recipe, name) for name in OF_RECIPE}
    results = {name: parser.get_parsed_content(name) for name in RESULTS}
    contract = {"version": __version__, "weights_sha256": recipe.weights_sha256, "settings": settings}
    return dict(json.loads(json.dumps(contract | {"results": results})))


def claim(folder: Path, pairs: Sequence[Pair], contract: Mapping[str, Any], *, overwrite: bool) -> None:
    """Write the contract to a folder, after `check_contract` unless its results are replaced."""
    if not overwrite:
        check_contract(folder, pairs, contract)
    make_folder(folder)
    with atomic_path(folder / CONTRACT) as path:
        path.write_text(json.dumps(contract, indent=2) + "\n", encoding="utf-8")


def check_contract(folder: Path, pairs: Sequence[Pair], contract: Mapping[str, Any]) -> None:
    """Compare a contract with the one in a folder, or with the results if there is none.

    Raises: ValueError if the folder holds results of another version, other weights or options.
    """
    file = folder / CONTRACT
    if not file.is_file():
        finished_rows(folder, pairs, contract)
        return
    found = read_json(file, "contract of a cohort")
    if not isinstance(found, dict):
        raise ValueError(f"{file}: expected an object, got a {type(found).__name__}")
    for key, wanted in contract.items():
        if found.get(key) != wanted:
            _refuse(file, key, wanted, found.get(key))


def check_apart(folder: Path, pairs: Sequence[Pair]) -> None:
    """Check that no file of a pair lies in a result folder, which is replaced as a whole. Raises: ValueError."""
    names, root = {pair["name"] for pair in pairs}, Path(os.path.realpath(folder))
    for pair in pairs:
        for key in pair.keys() & FILE_KEYS:
            place = Path(os.path.realpath(pair[key]))
            if place.is_relative_to(root) and {*place.relative_to(root).parts[:1]} & names:
                raise ValueError(
                    f"pair {pair['name']!r}: {pair[key]}: lies in the folder of a result, which replaces all in it; "
                    "name another --output_dir"
                )


def finished_rows(folder: Path, pairs: Sequence[Pair], contract: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The rows of the pairs that have a complete result.

    Raises: ValueError if one of them is of another version, other weights, or other files than the list says.
    """
    rows = []
    for pair in pairs:
        file = folder / pair["name"] / REPORT
        if not file.is_file():
            continue
        report = read_json(file, "report of a registration")
        try:
            settings = {name: report["settings"].get(name) for name in contract["settings"]}
            found = {"version": report["versions"]["bundle"], "weights_sha256": report["weights"]["sha256"]}
            found["settings"] = settings
            files, row = report["files"], row_of_report(report)
        except (KeyError, TypeError) as error:
            raise ValueError(f"{file}: expected the report of a registration of this version; {WHAT_TO_DO}") from error
        for key, value in found.items():
            if value != contract[key]:
                _refuse(file, key, contract[key], value)
        wanted = json.loads(as_given(pair))
        if files != wanted:
            key = next(key for key in sorted({*files, *wanted}) if files.get(key) != wanted.get(key))
            _refuse(file, key, wanted.get(key), files.get(key))
        rows.append(row | {"name": pair["name"]})
    return rows


def remove_results(folder: Path, pairs: Sequence[Pair]) -> None:
    """Remove the results of pairs that are registered again: none counts as one of the new run, if that ends early."""
    for pair in pairs:
        place = folder / pair["name"]
        (place / REPORT).unlink(missing_ok=True)  # first: without it, a folder is incomplete
        shutil.rmtree(place, ignore_errors=True)


@contextmanager
def emptied(folder: Path) -> Iterator[None]:
    """Remove what a run that was killed has left in a folder, and in the end what this one has if it is stopped."""
    _empty(folder)
    try:
        yield
    finally:
        _empty(folder)


def _empty(folder: Path) -> None:
    for left in folder.iterdir():
        shutil.rmtree(left, ignore_errors=True)


def _refuse(file: Path, key: str, wanted: Any, found: Any) -> None:
    if isinstance(wanted, dict) and isinstance(found, dict):
        key = next(name for name in sorted({*wanted, *found}) if wanted.get(name) != found.get(name))
        wanted, found = wanted.get(key), found.get(key)
    raise ValueError(f"{file}: expected {key} {wanted}, found {found}; {WHAT_TO_DO}")
