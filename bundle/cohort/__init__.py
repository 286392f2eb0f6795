"""Thousands of pairs on Ray: workers that keep their model, and work that survives faults.

`bundle.cohort.run.run_cohort` is the door. It is not imported here: every worker imports this package first, and
what it then does may need no PyTorch.
"""

from bundle.cohort.worker import Answer
from bundle.cohort.worker_pool import Result, WorkerPool

__all__ = ["Answer", "Result", "WorkerPool"]
