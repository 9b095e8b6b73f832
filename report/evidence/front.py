"""What the first page says before any chapter: what was found, how sure we are, and what its figure shows."""

from collections.abc import Sequence

import numpy as np

from lib.models import TITLES, VARIANTS
from lib.records import Run
from report.evidence.claims import Verdict
from report.evidence.ledger import tally
from report.evidence.measures import MIOU
from report.evidence.statistics import Estimate
from report.evidence.wording import interval_text, listed, percent, seeds_text, versus
from report.figures.diagrams import score_range
from report.figures.style import by_variant


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


def summary_caption(runs: Sequence[Run]) -> dict[str, str]:
    """Caption and alternative text of `diagrams.summary`."""
    groups, (low, high) = by_variant(runs), score_range(runs)
    several = max(map(len, groups.values())) > 1
    text = ("Drawn from the built models: each box is a block, as wide as its channels and as tall as its resolution, and colour "
            "marks what differs from the U-Net (of the U-Net, its skips). "
            + ("Networks beyond the four stand below without a drawing. " if groups.keys() - VARIANTS.keys() else "") + "Below: test mIoU"
            + (", mean ± standard deviation over seeds" if several else "")
            + f"; a dot for each seed on a line from {low:.0f} to {high:.0f} %, U-Net's mean dashed; the difference from U-Net "
            "with its 95 % interval; the cost of one image.")
    scores = "; ".join(f"{TITLES[key]} {percent(np.mean([run.miou for run in group]))}" for key, group in groups.items())
    return {"caption": text, "alt": f"{len(groups)} networks as small diagrams, with test mIoU ({scores}) and cost."}
