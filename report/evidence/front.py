"""What the first page says before any chapter: what was found and how sure we are."""

from collections.abc import Sequence

import numpy as np

from lib.models import TITLES
from lib.records import Run, by_variant
from report.evidence.claims import Verdict
from report.evidence.ledger import tally
from report.evidence.measures import MIOU
from report.evidence.statistics import Estimate
from report.evidence.wording import interval_text, listed, percent, seeds_text, versus


def found(runs: Sequence[Run], verdicts: Sequence[Verdict]) -> str:
    """The result in a few sentences: each network's score against U-Net's, and how many statements hold."""
    groups = by_variant(runs)
    scores = {key: np.mean([run.miou for run in group]) for key, group in groups.items()}
    plain = scores.pop("unet", None)
    if plain is None:
        text = "Test mIoU: " + ", ".join(f"{TITLES[key]} **{percent(score)}**" for key, score in scores.items()) + "."
    else:
        text = f"The U-Net labels the test images with a mIoU of **{percent(plain)}**."
        clear = {key: MIOU.compare(groups[key], groups["unet"])[0] for key in scores}
        text += "".join(f" The {TITLES[key]} reaches **{percent(scores[key])}**, "
                        f"{versus(estimate.value, 'that')} ({interval_text(estimate).split(',')[0]})."
                        for key, estimate in clear.items() if _apart(estimate))
        if close := [f"{TITLES[key]} (**{percent(scores[key])}**)" for key, estimate in clear.items() if not _apart(estimate)]:
            text += f" By this score the {listed(close)} cannot be told from it."
    return f"**Found.** {text} {tally(verdicts)}"


def _apart(estimate: Estimate) -> bool:
    return not estimate.one_seed and (estimate.low > 0 or estimate.high < 0)


def certainty(runs: Sequence[Run]) -> str:
    """How many seeds and images stand behind the result, and what it does not reach."""
    groups, first = by_variant(runs), runs[0]
    seeds = sorted({len(group) for group in groups.values()})
    images = first.record["dataset"]["counts"]["test"]
    if max(seeds) == 1:
        text = f"One seed a network and {images} test images: no difference between networks is called significant."
    else:
        text = (f"{seeds_text(seeds)} a network and {images} test images stand behind every interval; p values are adjusted over "
                "all statements together.")
    return f"**How sure.** {text} What holds for the data, size and effort below need not hold for others."
