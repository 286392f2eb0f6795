"""Where the pairs of a cohort come from."""

from bundle.cohort.sources.read import read_cohort, take_shard
from bundle.cohort.sources.studies import BreathSorter, Study
from bundle.cohort.sources.table import read_table, write_table

__all__ = ["BreathSorter", "Study", "read_cohort", "read_table", "take_shard", "write_table"]
