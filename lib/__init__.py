"""The project's code: data -> models -> training -> records -> claims and figures -> notebooks -> report.

    data and networks      classes  data  sources  folder  pairs  camvid  scenes, scene_*  check  models
    training               config  training  recipe  feed  machine  evaluation  checkpoint  files  gradients  runs
    on many machines       train  ablation  distributed  cluster
    what it costs          cases  cost  textbook  cost_report  theory
    measures and verdicts  metrics  structure  statistics  verdicts  claims  design  findings  analysis  examples
    a network questioned   interventions  probes  gates  landscape  depth  studies  theory_measures  theory_claims
    what is seen           figures  curves  pictures  compare  *_figures  theory_results  architecture  diagrams  flow  svg  front
    the documents          report  execute  render  markup  media  pdf  readme
"""

import os
from pathlib import Path

# A thread that has nothing to do sleeps instead of spinning: on a machine that does other work as well, spinning costs a
# factor of ten. OpenMP reads this once, when torch is loaded, so that it is set before; what the user has set counts.
os.environ.setdefault("OMP_WAIT_POLICY", "passive")

ROOT = Path(__file__).resolve().parent.parent
