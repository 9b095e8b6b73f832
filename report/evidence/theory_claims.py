"""The statements of the theory about what skips, gates and shortcuts do, and what measures each of them.

T1 to T3 are about skip connections, A1 to A3 about attention gates. R1 is the one of the three readings of what a
residual shortcut does that a single network can be measured by. "Another image's" features or coefficients are those of
`lib.studies.interventions`; "rare" classes have less than `findings.RARE` of the training pixels.
"""

from functools import partial

from lib.metrics import mean_iou, nan_mean
from lib.structure import SIZES, ratio
from lib.studies.depth import NORMALISED
from lib.studies.interventions import CLUTTER, INPUT_NOISE, SKIP_NOISE
from report.evidence.claims import BOUNDARY, MIOU, MUCH, SCORE, SHARE
from report.evidence.statistics import Measure, Unit
from report.evidence.theory_measures import (
    COARSE, FINE, Change, alpha_by_class, by_size, conditions, curvature, deep, explained, false_components,
    false_pixels, favour, frequent_energy, lesions, probes, spread, study_images, trained,
)  # fmt: skip
from report.evidence.verdicts import Claim, Comparison

MIDDLE = 1  # of the three strengths of noise and clutter
INTACT, BELOW, EVEN = "the intact network", "before the skip joins", "with one α everywhere"
FACTOR = Unit("", digits=3)


def _boundary(counts):
    return nan_mean(ratio(counts))


def _disturbed(what: str, name: str) -> Change:
    return Change(f"change of mIoU under {what}", partial(conditions, first=name, second="intact"), score=mean_iou,
                  against=INTACT)


SKIPPED = Change("mIoU with the features of another image in all skips",
                 partial(conditions, first="shuffle all", second="intact"), score=mean_iou, against=INTACT)
OUTLINES = Change("boundary IoU with another image's features in the finest skip",
                  partial(conditions, first="shuffle 0", second="intact", array="structure.boundary"), score=_boundary,
                  against=INTACT)
JOINED = Change("variance of the outlines that a linear probe explains once the finest skip has joined",
                partial(probes, array="edges", first="joined 0", second="from below 0"), score=explained, against=BELOW)
CLASSES = Change("mIoU of a linear probe once the finest skip has joined",
                 partial(probes, array="confusions", first="joined 0", second="from below 0"), score=mean_iou, against=BELOW)
SCALES = tuple(
    Change(f"mIoU with another image's features in one of the two {name} skips", partial(lesions, levels=levels),
           score=lambda counts: mean_iou(counts).mean(-1), against=INTACT)
    for name, levels in (("finer", FINE), ("coarser", COARSE))
)
SERVED = Change(f"recall lost under {SIZES[1]} px beyond that lost from {SIZES[2]} px, lesion of a finer less that of a "
                "coarser skip", by_size, score=favour, against="no preference")
TRAINED = Measure("gradient of the first block relative to the last", trained, level=FACTOR)
*DEEPER, DEEPEST = (  # the last: six levels without normalisation
    Measure(f"gradient of the first block relative to the last in a small network of {depth} levels with {kind}",
            partial(deep, depth=depth, kind=kind), level=FACTOR) for depth in (4, 6) for kind in NORMALISED.values())
DISTURBED = (
    _disturbed(f"noise of {SKIP_NOISE[MIDDLE]:g} standard deviations on the skips", f"skip noise {SKIP_NOISE[MIDDLE]}"),
    _disturbed(f"{100 * CLUTTER[MIDDLE]:.0f} % of another image's features in the skips", f"clutter {CLUTTER[MIDDLE]}"),
)
SEEN = _disturbed(f"noise of {INPUT_NOISE[MIDDLE]:g} on the image", f"input noise {INPUT_NOISE[MIDDLE]}")
REPLACED = tuple(
    Change(f"mIoU with α {what}", partial(conditions, first=f"alpha {name}", second="intact"), score=mean_iou, against=INTACT)
    for what, name in (("replaced by 1", "one"), ("replaced by its mean", "mean"), ("of another image", "other"))
)
FALSE = (Measure("false components of rare classes, relative to true ones,", false_components, score=ratio),
         Measure("pixels falsely labelled as rare classes, relative to their true pixels,", false_pixels, score=ratio))
SPREAD = Change("standard deviation of α between classes", alpha_by_class, score=spread, against=EVEN)
ENERGY = Measure("share of the gradient energy across the skips on frequent classes", frequent_energy,
                 score=lambda counts: ratio(counts).mean(-1), images=study_images)
CURVATURE, RAW = (Measure(f"largest curvature of the loss in {name} coordinates", partial(curvature, kind=kind),
                          level=Unit("", digits=1)) for kind, name in ((1, "filter-normalised"), (0, "the weights' own")))

NONE, RESIDUAL, GATED = "unet-noskip", "unet-residual", "unet-gated-attention"


def _within(variant: str, expect: str, margin: float, *measures: Measure, **roles: bool) -> tuple[Comparison, ...]:
    return tuple(Comparison(measure, variant, expect, margin, reference=variant, **roles) for measure in measures)


def _against_unet(variant: str, expect: str, margin: float, *measures: Measure, **roles: bool) -> tuple[Comparison, ...]:
    return tuple(Comparison(measure, variant, expect, margin, **roles) for measure in measures)


def _claim(key: str, statement: str, *comparisons: tuple[Comparison, ...]) -> Claim:
    return Claim(key, statement, sum(comparisons, ()), source="the theory")


CLAIMS = (
    _claim("T1", "Skip connections carry high-resolution information that the bottleneck loses.",
           _within("unet", "lower", SCORE, SKIPPED, OUTLINES), _within("unet", "higher", SCORE, JOINED),
           _within("unet", "higher", SCORE, CLASSES, decides=False),
           _against_unet("unet-noskip-finest", "lower", SCORE, BOUNDARY, required=False),
           _against_unet("unet-noskip-finest", "lower", SCORE, MIOU, decides=False)),
    _claim("T2", "Skip connections at several scales fuse features learnt at several scales.",
           _within("unet", "lower", SCORE, *SCALES), _within("unet", "higher", SHARE, SERVED)),
    _claim("T3", "Skip connections help against vanishing gradients, as residual shortcuts do.",
           *(_against_unet(key, expect, MUCH, TRAINED, required=False) + _against_unet(key, expect, MUCH, DEEPEST)
             + _against_unet(key, expect, MUCH, *DEEPER, decides=False) for key, expect in ((NONE, "lower"), (RESIDUAL, "higher")))),
    _claim("A1", "Gates disambiguate irrelevant and noisy responses in the skips.",
           _against_unet(GATED, "higher", SCORE, *DISTURBED), _against_unet(GATED, "higher", SCORE, SEEN, decides=False),
           _within(GATED, "lower", SCORE, *REPLACED, decides=False)),
    _claim("A2", "Gates reduce false positives for small objects that vary in shape.",
           _against_unet(GATED, "lower", SHARE, *FALSE)),
    _claim("A3", "Gates filter the activations forward and the gradients backward.",
           _within(GATED, "higher", SHARE, SPREAD), _against_unet(GATED, "lower", SHARE, ENERGY)),
    _claim("R1", "Residual shortcuts smooth the loss surface.",
           _against_unet(RESIDUAL, "lower", MUCH, CURVATURE), _against_unet(RESIDUAL, "lower", MUCH, RAW, decides=False)),
)
