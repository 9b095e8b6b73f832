"""What trains and measures, and writes run records. `report` reads them; nothing here imports it.

    networks and data    models  data  datasets/ (one file each, and batches)  scenes/ (drawn)
    one training         config  train  machine  files (and the labels in them)
    what is recorded     metrics  structure  evaluation  records
    studies/             a trained network questioned; designs of many trainings; costs
    predict/             a trained network on photographs
"""

import os
from pathlib import Path

# A thread that has nothing to do sleeps instead of spinning: on a machine that does other work as
# well, spinning costs a factor of ten. OpenMP reads this once, when torch is loaded, so that it is
# set before; what the user has set counts.
os.environ.setdefault("OMP_WAIT_POLICY", "passive")

ROOT = Path(__file__).resolve().parent.parent


class UsageError(ValueError):
    """A wrong argument or setting; a notebook shows its line without a traceback."""

    def _render_traceback_(self) -> list[str]:  # what IPython shows
        return [f"error: {self}"]
