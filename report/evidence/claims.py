"""The statements of the original study about results, Q1 to Q7, and what would show them.

Verdicts are computed by `report.evidence.verdicts`. A verdict on one claim does not depend on which other questions are asked.
"""

from collections.abc import Callable, Sequence
from functools import partial

import numpy as np

from lib.metrics import (
    area_under_curve, epochs_to_reach, final_value, mean_iou, nan_mean, seconds_to_reach,
)
from lib.records import Run
from lib.structure import SIZES, boundary_f1, ratio
from report.evidence.statistics import Measure, NotMeasured, Unit, epochs, nats, seconds
from report.evidence.verdicts import Claim, Comparison

BAND, TOLERANCE, SMALL = 5, 3, 2  # px around an outline, px between contours, bins of `SIZES`
SCORE, LOSS, MUCH, SHARE = 0.01, 0.05, 0.2, 0.05  # margins: a score, a loss, "much" faster, a share missed


def _curve(run: Run, reference: Sequence[Run], of: Callable, column: str) -> float:
    return of(run.history, column)


def _until(run: Run, reference: Sequence[Run], clock: Callable, share: float) -> float:
    return clock(run.history, share * np.mean([other.history["val_miou"].max() for other in reference]))


def _structure(run: Run, reference: Sequence[Run], name: str) -> np.ndarray:
    if name not in run.structure:
        raise NotMeasured(f"no counts of {name} for seed {run.seed} of {run.title}")
    return run.structure[name].astype(np.int64)


def _near_outline(run: Run, reference: Sequence[Run]) -> np.ndarray:
    return _structure(run, reference, "trimap")[:, :BAND].sum(1)


def _missed(run: Run, reference: Sequence[Run], signs: bool) -> np.ndarray:
    """Target components missed altogether, and all, (N, 2): those of signs, or the small ones of every class."""
    classes = run.classes.signs if signs else list(range(len(run.classes)))
    if not classes:
        raise NotMeasured("the data set has no class of signs")
    sizes = slice(None if signs else SMALL)
    return _structure(run, reference, "components")[:, classes, sizes][..., [1, 0]].sum((1, 2))


CURVES = tuple(
    Measure(f"{when} {what}", partial(_curve, of=of, column=column), nats)
    for when, of in (("final", final_value), ("mean over epochs of the", area_under_curve))
    for what, column in (("training loss", "train_loss"), ("validation loss", "val_loss"))
)
GAP = Measure("final validation loss less training loss", level=nats, relative=False, read=lambda run, _: (
    final_value(run.history, "val_loss") - final_value(run.history, "train_loss")))
MIOU = Measure("test mIoU", lambda run, _: run.per_image, score=mean_iou)
EPOCHS, SECONDS = (
    [Measure(f"{what} to {Unit('%', 100, 0)(share)} of U-Net's best validation mIoU",
             partial(_until, clock=clock, share=share), unit) for share in (0.9, 0.95)]
    for what, clock, unit in (("epochs", epochs_to_reach, epochs), ("seconds", seconds_to_reach, seconds))
)
GEOMETRY = BOUNDARY, *_ = (
    Measure("boundary IoU", partial(_structure, name="boundary"), score=lambda counts: nan_mean(ratio(counts))),
    Measure(f"mIoU less than {BAND} px from an outline", _near_outline, score=lambda counts: nan_mean(ratio(counts))),
    Measure(f"boundary F1 within {TOLERANCE} px", partial(_structure, name="contours"),
            score=lambda counts: nan_mean(boundary_f1(counts, TOLERANCE))),
)
MISSED = (
    Measure(f"share missed altogether under {SIZES[SMALL - 1]} px in size", partial(_missed, signs=False), score=ratio),
    Measure("share missed altogether of signs", partial(_missed, signs=True), score=ratio),
)


def _compare(variant: str, expect: str, margin: float, *measures: Measure, **roles: bool) -> tuple[Comparison, ...]:
    return tuple(Comparison(measure, variant, expect, margin, **roles) for measure in measures)


CLAIMS = (
    Claim("Q1", "Removing the skip connections has no significant impact on the loss curve.",
          _compare("unet-noskip", "same", LOSS, *CURVES)),
    Claim("Q2", "Gated attention has no significant impact on the loss curve.",
          _compare("unet-gated-attention", "same", LOSS, *CURVES)),
    Claim("Q3", "Removing the skip connections visibly lowers mIoU (in that study by about 5 points).",
          _compare("unet-noskip", "lower", SCORE, MIOU)
          + _compare("unet-noskip-wide", "lower", SCORE, MIOU, required=False)),
    Claim("Q4", "The residual network converges much faster.",
          _compare("unet-residual", "lower", MUCH, *EPOCHS)
          + _compare("unet-residual", "lower", MUCH, *SECONDS, decides=False)),
    Claim("Q5", "The residual network reaches a significantly lower loss, without much gain in mIoU.",
          _compare("unet-residual", "lower", LOSS, *CURVES[:2]) + _compare("unet-residual", "not higher", SCORE, MIOU)
          + _compare("unet-residual", "higher", 0.0, GAP, decides=False)),
    Claim("Q6", "Without skip connections the finer details (a traffic signal) are missed altogether.",
          _compare("unet-noskip", "higher", SHARE, MISSED[0])
          + _compare("unet-noskip", "higher", SHARE, MISSED[1], required=False)  # not every data set has signs
          + _compare("unet-noskip", "lower", SCORE, BOUNDARY, decides=False)),
    Claim("Q7", "Residual blocks and gated attention preserve geometry better than U-Net.",
          _compare("unet-residual", "higher", SCORE, *GEOMETRY)
          + _compare("unet-gated-attention", "higher", SCORE, *GEOMETRY)),
)
