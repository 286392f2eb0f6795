"""Thousands of pairs on Ray: workers that keep their model, and work that survives faults.

`bundle.cohort.run.run_cohort` is the door. It is not imported here: every worker imports this package first, and
what it then does may need no PyTorch.
"""

from bundle.cohort.farm import Farm, Result
from bundle.cohort.worker import Answer

__all__ = ["Answer", "Farm", "Result"]
