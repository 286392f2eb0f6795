"""Radiotherapy objects carried through a registration: structure sets and doses.

`bundle.radiotherapy.carry_structures` is imported by its own name: it needs requirements-radiotherapy.txt.
"""

from bundle.radiotherapy.carrier import Carrier, check_reference
from bundle.radiotherapy.checks import check_dose
from bundle.radiotherapy.dose import Dose, dose_grid, read_dose, write_dose
from bundle.radiotherapy.dose_sum import add_doses, carry_dose, check_summands
from bundle.radiotherapy.structures import Structure, StructureSet, check_references, read_structures
from bundle.radiotherapy.write_structures import write_structures

__all__ = [
    "Carrier",
    "Dose",
    "Structure",
    "StructureSet",
    "add_doses",
    "carry_dose",
    "check_dose",
    "check_reference",
    "check_references",
    "check_summands",
    "dose_grid",
    "read_dose",
    "read_structures",
    "write_dose",
    "write_structures",
]
