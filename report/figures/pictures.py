"""The figures made of pictures, each with its caption: test images, label maps, errors.

Label maps are shown without interpolation in the colours of `report.figures.palette`, photographs
at their own resolution where that is stored.
"""

from collections.abc import Sequence
from dataclasses import replace

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import to_rgba
from matplotlib.figure import Figure
from matplotlib.patches import Patch, Rectangle
from scipy import ndimage

from lib.files import IGNORE, ClassTable, read_pixels
from lib.metrics import confusion_matrix, mean_iou
from lib.records import Run, first_seeds
from report.evidence.wording import capitalised, listed, literal, percent
from report.figures.observations import Segment, choose
from report.figures.palette import by_frequency, displayed
from report.figures.show import Exhibit
from report.figures.style import LOOKS, PAGE, plain

RIGHT, WRONG, VOID = "#8080801c", "#d55e00", "#8c8c8c"  # paper shows through what is right
ERRORS = (255 * np.array([to_rgba(name) for name in (RIGHT, WRONG, VOID)])).round().astype(np.uint8)
NOTE = {"fc": "white", "ec": "none", "alpha": 0.82, "boxstyle": "round,pad=0.15"}
FULL = "full.webp"  # the suffix of a photograph at the size of its file
WHITE = "#fefefe"  # which no theme turns into the colour of its paper
MOST = 2  # images in a figure of predictions
ACROSS = 7  # classes in a row of the legend


def paint(target: np.ndarray, classes: ClassTable) -> np.ndarray:
    """Return labels, uint8 (H, W), in the colours of figures, uint8 (H, W, 3); void is black."""
    return displayed(classes).palette[target]


def photograph(run: Run, name: str) -> np.ndarray:
    """Return a test image, uint8 (h, w, 3), at its own size where that is stored."""
    path = run.shared(name, FULL)
    return read_pixels(path, "RGB") if path.exists() else run.image(name)


def errors(prediction: np.ndarray, target: np.ndarray) -> np.ndarray:
    """Return, uint8 (H, W), 0 where the prediction is right, 1 where it is wrong, 2 on void."""
    return np.where(target == IGNORE, 2, prediction != target).astype(np.uint8)


def error_map(prediction: np.ndarray, target: np.ndarray) -> np.ndarray:
    """Return a picture, uint8 (H, W, 4), of where prediction and target differ; void is grey."""
    return ERRORS[errors(prediction, target)]


def error_rate(prediction: np.ndarray, target: np.ndarray) -> float:
    """Return the share of the labelled pixels that the prediction gets wrong."""
    return (prediction != target)[target != IGNORE].mean()


def image_miou(prediction: np.ndarray, target: np.ndarray, classes: ClassTable) -> float:
    """Return the mIoU of one image, over classes that occur in it or are predicted."""
    return float(mean_iou(confusion_matrix(prediction, target, len(classes))))


def grid(
    rows: Sequence[Sequence[np.ndarray]], titles: Sequence[str] = (), foot: float = 0
) -> Figure:
    """Return pictures in rows and columns, as wide as the page, with room for a foot (inches).

    There is a title for each column, or for each picture.
    """
    height, width = rows[0][0].shape[:2]
    columns = len(rows[0])
    tall = len(rows) * (PAGE / columns * height / width + 0.16) + 0.1 + foot
    figure, axes = plt.subplots(len(rows), columns, squeeze=False, figsize=(PAGE, tall))
    figure.get_layout_engine().set(w_pad=0.02, h_pad=0.02, wspace=0, hspace=0)
    for panels, pictures in zip(axes, rows):
        for panel, picture in zip(panels, pictures):
            draw(panel, picture)
    for panel, title in zip(axes.flat, titles):
        panel.set_title(title)
    return figure


def draw(axes: Axes, picture: np.ndarray, **options: object) -> None:
    """Draw one picture without ticks or frame."""
    axes.imshow(picture, **options)
    axes.set(xticks=[], yticks=[])
    axes.spines[:].set_visible(False)


def class_legend(figure: Figure, classes: ClassTable, order: Sequence[int]) -> None:
    """Set the colours of the classes, in this order, below the figure."""
    shown = displayed(classes)
    handles = [
        Patch(fc=np.array(shown.colors[index]) / 255, ec="#999999", lw=0.4,
              label=plain(shown.names[index]))
        for column in range(ACROSS) for index in order[column::ACROSS]  # legends fill columns
    ]  # fmt: skip
    figure.legend(handles=handles, loc="outside lower center", ncols=ACROSS, handlelength=1,
                  handleheight=0.9, columnspacing=1.1, handletextpad=0.5)  # fmt: skip


def predictions(run: Run, names: Sequence[str] = ()) -> Exhibit:
    """Image, ground truth, prediction and errors of two test images, the fixed ones by default."""
    names = list(names or run.examples[1::2] or run.examples)[:MOST]
    rows, wrong = [], []
    for name in names:
        target, prediction = run.target(name), run.prediction(name)
        maps = [paint(labels, run.classes) for labels in (target, prediction)]
        rows.append([photograph(run, name), *maps, error_map(prediction, target)])
        wrong.append(error_rate(prediction, target))
    figure = grid(rows, ("image", "ground truth", "prediction", "errors"), foot=0.4)
    class_legend(figure, run.classes, by_frequency(run))
    shares = " and ".join(percent(share) for share in wrong)
    return Exhibit(
        figure,
        f"fig-predictions-{run.variant}",
        f"The {run.title} mislabels {shares} of the pixels of {_images(names)} (seed {run.seed}). "
        "Errors are orange; void is grey among the errors and black elsewhere.",
        f"Test images with ground truth, prediction of the {run.title} and error map.",
        file=f"predictions/{run.variant}.png",
    )


def _images(names: Sequence[str]) -> str:
    words = " and ".join(literal(name) for name in names)
    return f"the test image {words}" if len(names) == 1 else f"the test images {words}"


def compared(runs: Sequence[Run]) -> list[Run]:
    """Return the first runs of the two networks that pictures compare: with skips and without."""
    first = first_seeds(runs)
    wanted = [first[key] for key in ("unet", "unet-noskip") if key in first]
    others = [run for run in first.values() if run not in wanted]
    return [*wanted, *others][:2]


def comparisons(runs: Sequence[Run], reasons: dict[str, str]) -> list[Exhibit]:
    """Two test images, each with its ground truth and the U-Net's labels with and without skips.

    `reasons` maps the names of test images to why they are shown. The pictures of the first are
    saved in one row as well.
    """
    names = list(reasons)[:MOST]
    segments = choose(runs, names)
    exhibits = [
        _comparison(runs, name, reasons[name], segments, number)
        for number, name in enumerate(names, 1)
    ]
    first = replace(exhibits[0], file="comparison.webp", saved=row(runs, names[0]))
    return [first, *exhibits[1:]]


def _comparison(
    runs: Sequence[Run], name: str, reason: str, segments: Sequence[Segment], number: int
) -> Exhibit:
    pair = compared(runs)
    some, target = pair[0], pair[0].target(name)
    height, width = target.shape
    tall = 2 * (PAGE / 2 * height / width + 0.25) + 0.45
    figure, axes = plt.subplots(2, 2, figsize=(PAGE, tall))
    figure.get_layout_engine().set(w_pad=0.03, h_pad=0.03, wspace=0, hspace=0)
    photo, truth, *mapped = axes.flat
    draw(photo, photograph(some, name), extent=(-0.5, width - 0.5, height - 0.5, -0.5))
    draw(truth, paint(target, some.classes))
    name_regions(truth, target, some.classes)
    photo.set_title("photograph")
    truth.set_title("ground truth")
    found = []
    for panel, run in zip(mapped, pair):
        labels = run.prediction(name)
        score = percent(image_miou(labels, target, some.classes))
        draw(panel, paint(labels, some.classes))
        panel.set_title(LOOKS[run.variant].short)
        found.append(f"{score} under the {run.title}")
    for panel in mapped[len(pair) :]:
        panel.set_axis_off()
    numbered = [segment for segment in segments if segment.image == name]
    for panel in axes.flat:
        number_segments(panel, numbered)
    class_legend(figure, some.classes, by_frequency(some))
    boxes = ""
    if numbered:
        boxes = " The numbered boxes hold the objects of [the close-ups](#fig-objects)."
    return Exhibit(
        figure,
        f"fig-comparison-{number}",
        f"On this image the mIoU is {listed(found)} (first seeds). {capitalised(reason)}: "
        f"{literal(name)}.{boxes} Void is black.",
        "A test image, its ground truth and the predictions of two networks.",
        stack=True,
    )


def row(runs: Sequence[Run], name: str) -> Figure:
    """Return the photograph, the ground truth and the two predictions side by side."""
    pair = compared(runs)
    some = pair[0]
    maps = [some.target(name), *(run.prediction(name) for run in pair)]
    pictures = [photograph(some, name), *(paint(labels, some.classes) for labels in maps)]
    titles = ["photograph", "ground truth", *(LOOKS[run.variant].short for run in pair)]
    figure = grid([pictures])
    for panel, title in zip(figure.axes, titles):
        panel.annotate(title, (0, 1), (4, -4), xycoords="axes fraction", va="top", bbox=NOTE,
                       textcoords="offset points")  # fmt: skip
    return figure


def number_segments(axes: Axes, segments: Sequence[Segment]) -> None:
    """Frame each of these objects, its number at a corner of the frame."""
    for segment in segments:
        top, left, bottom, right = segment.box
        corner, width, height = (left - 0.5, top - 0.5), right - left, bottom - top
        for color, line in (("black", 2.2), (WHITE, 1.1)):
            axes.add_patch(Rectangle(corner, width, height, fill=False, ec=color, lw=line))
        axes.annotate(str(segment.number), corner, (1, 1), textcoords="offset points", fontsize=7,
                      fontweight="semibold", va="bottom", bbox=NOTE)  # fmt: skip


def name_regions(axes: Axes, target: np.ndarray, classes: ClassTable) -> None:
    """Write the name of each class into its roomiest region, where the name has room."""
    height, width = target.shape
    for index in np.unique(target[target != IGNORE]):
        inside = np.pad(target == index, 1)
        distance = ndimage.distance_transform_edt(inside)[1:-1, 1:-1]
        y, x = np.unravel_index(distance.argmax(), distance.shape)
        name = classes.names[index]
        letter = 0.018 * width  # pixels across
        if distance[y, x] > 1.1 * letter and distance[y, x] > 0.22 * letter * len(name):
            axes.text(x, y, plain(capitalised(name)), fontsize=7, ha="center", va="center",
                      bbox=NOTE)  # fmt: skip
