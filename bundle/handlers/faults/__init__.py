"""What makes a training survive: whole files, a finite loss, the same run on resume, pairs for every process."""

from bundle.handlers.faults.atomic_saves import remove_remains, save_atomically
from bundle.handlers.faults.enough_pairs import check_enough_pairs
from bundle.handlers.faults.finite_loss import FiniteLoss
from bundle.handlers.faults.run_record import RUN, RunRecord

__all__ = ["RUN", "FiniteLoss", "RunRecord", "check_enough_pairs", "remove_remains", "save_atomically"]
