"""Pairs of scans: what they consist of and where they come from."""

from bundle.data.config_values import bundle_root, check_as_typed, config_with
from bundle.data.flag import flag
from bundle.data.function_report import FUNCTION_FOLDER, FUNCTION_REPORT, FUNCTION_TABLE, function_figures
from bundle.data.pair import FILE_KEYS, OPTION_KEYS, Pair, PairFiles
from bundle.data.pair_in_memory import PairPart, Points, Scan, as_volume, pair_in_memory
from bundle.data.pair_loader import PairLoader
from bundle.data.pairs import PAIRS_FILE, check_pairs, make_pair, read_pairs, resolve_pairs
from bundle.data.pairs_to_register import SECTIONS, as_given, pairs_to_register
from bundle.data.result_folder import ResultFolder
from bundle.data.world_transform import read_world_transform

__all__ = [
    "FILE_KEYS",
    "FUNCTION_FOLDER",
    "FUNCTION_REPORT",
    "FUNCTION_TABLE",
    "OPTION_KEYS",
    "PAIRS_FILE",
    "SECTIONS",
    "Pair",
    "PairFiles",
    "PairLoader",
    "PairPart",
    "Points",
    "ResultFolder",
    "Scan",
    "as_given",
    "as_volume",
    "bundle_root",
    "check_as_typed",
    "check_pairs",
    "config_with",
    "flag",
    "function_figures",
    "make_pair",
    "pair_in_memory",
    "pairs_to_register",
    "read_pairs",
    "read_world_transform",
    "resolve_pairs",
]
