"""Thousands of pairs on Ray: workers that keep their model, and work that survives faults."""

from bundle.cohort.farm import Farm, Result
from bundle.cohort.progress import Progress
from bundle.cohort.registrar import PairRegistrar
from bundle.cohort.run import Crew, run_cohort
from bundle.cohort.status import Status, read_status
from bundle.cohort.worker import Answer

__all__ = ["Answer", "Crew", "Farm", "PairRegistrar", "Progress", "Result", "Status", "read_status", "run_cohort"]
