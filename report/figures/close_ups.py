"""The objects that the text points at: outlines over the photograph, and their IoU by network."""

from collections.abc import Sequence

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes

from lib.records import Run
from report.evidence.wording import capitalised
from report.figures.observations import Segment, region
from report.figures.pictures import WHITE, compared, draw, photograph
from report.figures.show import Exhibit
from report.figures.style import LOOKS, PAGE, plain, without_subsets

CONTEXT = 2.4  # times the object: the side of its close-up
NARROWEST = 0.22  # of the image: the side of the smallest close-up


def objects(runs: Sequence[Run], segments: Sequence[Segment]) -> Exhibit | None:
    """A row for each object: its outlines over the photograph, and its IoU in every run.

    None where there is no object to point at.
    """
    if not segments:
        return None
    pair = compared(runs)
    groups = without_subsets(runs)
    figure, rows = plt.subplots(
        len(segments), 4, squeeze=False, figsize=(PAGE, 0.4 + 1.12 * len(segments)),
        width_ratios=(1, 1, 1, 1.5),
    )  # fmt: skip
    figure.get_layout_engine().set(w_pad=0.02, h_pad=0.02, wspace=0.01, hspace=0.02)
    for panels, segment in zip(rows, segments):
        *close, strip = panels
        _close_ups(close, pair, segment)
        name = plain(capitalised(pair[0].classes.names[segment.index]))
        close[0].set_ylabel(f"{segment.number}  {name}", fontweight="semibold")
        _strip(strip, groups, segment)
    titles = ["truth", *(f"{LOOKS[run.variant].short} (seed {run.seed})" for run in pair)]
    for panel, title in zip(rows[0], [*titles, "IoU of the object (%)"]):
        panel.set_title(title)
    for panel in rows[:-1, -1]:
        panel.tick_params(labelbottom=False)
    ahead = sum(segment.advantage > 0 for segment in segments)
    return Exhibit(
        figure,
        "fig-objects",
        f"{ahead} of these {len(segments)} objects have the higher mean IoU with skips. Outlines "
        "over the photograph: the ground truth in white, what the prediction makes of the "
        "object in its network's colour; without an outline the object is lost. "
        "Right: IoU of the object in "
        "every run (dots) and means over seeds (bars). Numbers as in the boxes of "
        "[the comparison](#fig-comparison-1).",
        "Close-ups of numbered objects with outlines, and dot charts of their IoU.",
    )


def _close_ups(panels: Sequence[Axes], pair: Sequence[Run], segment: Segment) -> None:
    """The truth, and what each of two runs makes of it, over the same part of the photograph."""
    some = pair[0]
    target, image = some.target(segment.image), photograph(some, segment.image)
    height, width = target.shape
    outlines = [(segment.mask, WHITE)]
    for run in pair:
        predicted = region(run.prediction(segment.image), target, segment.index, segment.mask)
        outlines.append((predicted, LOOKS[run.variant].color))
    left, right, low, high = _window(segment)
    image, extent = _cut(image, (left, right, low, high), target.shape)
    for panel, (mask, color) in zip(panels, outlines):
        draw(panel, image, extent=extent)
        if mask.any():
            for line, shade in ((2.6, "black" if color == WHITE else WHITE), (1.5, color)):
                panel.contour(mask, levels=[0.5], colors=[shade], linewidths=line)
        panel.set(xlim=(left - 0.5, right - 0.5), ylim=(high - 0.5, low - 0.5))


def _cut(
    image: np.ndarray, window: tuple[int, int, int, int], shape: tuple[int, int]
) -> tuple[np.ndarray, tuple[float, float, float, float]]:
    """Return the part of a photograph in a window of the label map, and where it lies there."""
    left, right, low, high = window
    down, across = image.shape[0] / shape[0], image.shape[1] / shape[1]
    rows = slice(round(low * down), round(high * down))
    columns = slice(round(left * across), round(right * across))
    return image[rows, columns], (left - 0.5, right - 0.5, high - 0.5, low - 0.5)


def _window(segment: Segment) -> tuple[int, int, int, int]:
    """Return left, right, top and bottom of an object's close-up, in the image's proportions."""
    height, width = segment.mask.shape
    top, start, bottom, end = segment.box
    share = max(CONTEXT * (bottom - top) / height, CONTEXT * (end - start) / width, NARROWEST)
    rows, columns = (round(min(1, share) * side) for side in (height, width))
    low = np.clip((top + bottom - rows) // 2, 0, height - rows)
    left = np.clip((start + end - columns) // 2, 0, width - columns)
    return left, left + columns, low, low + rows


def _strip(axes: Axes, groups: dict[str, list[Run]], segment: Segment) -> None:
    """The IoU of one object in every run, a row for each network."""
    for row, key in enumerate(groups):
        look, ious = LOOKS[key], 100 * segment.ious[key]
        axes.plot(ious, np.full(len(ious), row), look.marker, color=look.color, ms=3.5, mew=0,
                  alpha=0.6)  # fmt: skip
        axes.plot(ious.mean(), row, "|", color=look.color, ms=8, mew=1.5)
    axes.set(xlim=(-4, 104), xticks=(0, 50, 100), ylim=(len(groups) - 0.4, -0.6))
    axes.set_yticks(range(len(groups)), [LOOKS[key].short for key in groups], fontsize=6.5)
    axes.yaxis.tick_right()
    axes.tick_params(axis="y", length=0)
    axes.spines[["left", "right"]].set_visible(False)
    axes.grid(axis="x")
