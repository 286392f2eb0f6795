"""Set before torch is imported: threads that spin while they wait stall each other where test processes share cores."""

import os

os.environ.setdefault("OMP_WAIT_POLICY", "passive")
