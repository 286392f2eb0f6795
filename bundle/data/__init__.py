"""Pairs of scans: what they consist of and where they come from."""

from bundle.data.flag import flag
from bundle.data.pair import FILE_KEYS, Pair, PairFiles
from bundle.data.pairs import check_pairs, make_pair, read_pairs
from bundle.data.pairs_to_register import pairs_to_register

__all__ = ["FILE_KEYS", "Pair", "PairFiles", "check_pairs", "flag", "make_pair", "pairs_to_register", "read_pairs"]
