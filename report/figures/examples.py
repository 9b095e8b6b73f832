"""Which test images are shown under every network: chosen by a rule, and stored beside the records.

The rule reads the confusion matrix of each test image under the first seed of each network and
nothing else, so that published records choose what the originals chose. To be shown, an image needs
its pixels, its ground truth and what each run predicts for it: `keep` writes what is missing of
these, from predictions.npz and the data set, and the photograph at the size of its file. Before
runs are published,

    python -m report.figures.examples OUT [DATA_ROOT]

stores them for the runs under OUT.
"""

import sys
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from lib.data import load_dataset, load_split
from lib.datasets import family
from lib.files import write_image
from lib.metrics import mean_iou
from lib.records import Run, load_runs
from lib.studies.recount import write_predictions
from lib.train import TrainConfig
from report.evidence.wording import listed, literal
from report.figures.pictures import FULL
from report.figures.style import LOOKS, of_the_study

TALLEST = 480  # pixels: a photograph that is stored at the size of its file has at most this height


def choose_images(runs: Sequence[Run], among: Sequence[str] | None = None) -> dict[str, str]:
    """Return names of test images -> why each is shown; one that is chosen twice has both reasons.

    `among` names those that there are to choose from, all by default. A network's score is the mIoU
    of one image, over the classes that occur in it or are predicted; ties go to the first image of
    the test set.
    """
    first = {key: group[0] for key, group in of_the_study(runs).items()}
    some = runs[0]
    images = some.image_names
    there = np.isin(images, images if among is None else among)
    scores = np.stack([mean_iou(run.per_image) for run in first.values()])  # (networks, images)
    scores[:, ~there] = np.nan
    means = scores.mean(0)
    ranked = np.argsort(means, kind="stable")[: np.isfinite(means).sum()]  # NaN: nothing but void
    on_signs = there * some.per_image[:, some.classes.signs].sum((1, 2))
    picks = []
    if len(first) > 1:
        picks.append((np.nanargmax(np.ptp(scores, axis=0)), "the networks differ most"))
    picks.append((ranked[(len(ranked) - 1) // 2], "the median image"))
    if on_signs.any():
        picks.append((on_signs.argmax(), "most pixels of signs"))
    worst = np.nanargmin(scores, axis=1)
    for index in dict.fromkeys(worst):
        names = [LOOKS[key].short for key, lowest in zip(first, worst) if lowest == index]
        who = listed(names) if len(names) < len(first) else "every network"
        picks.append((index, f"worst for {who}"))
    reasons: dict[str, list[str]] = {}
    for index, reason in picks:
        reasons.setdefault(images[index], []).append(reason)
    return {name: ", ".join(why) for name, why in reasons.items()}


def keep(runs: Sequence[Run], names: Iterable[str], data_root: str | Path | None = None) -> None:
    """Write what is missing to show these test images: predictions, pixels and ground truth.

    Raise FileNotFoundError where predictions.npz or the data set is absent and needed, and
    ValueError for a data set whose labels are not those that the runs were tested on.
    """
    for run in runs:
        for name in names:
            path = run.folder / "predictions" / f"{name}.png"
            if not path.exists():
                write_image(path, run.prediction(name), run.classes)
    some = runs[0]
    _store_photographs(some, [*names, *some.examples], data_root)
    missing = [
        name
        for name in names
        if not (some.shared(name, "png").exists() and some.shared(name, "webp").exists())
    ]
    if not missing:
        return
    dataset = load_split(TrainConfig(**some.config), "test", data_root)
    for name in missing:
        image, target = dataset.source.read(dataset.items.index(name))
        labelled = some.per_image[some.image_names.index(name)].sum(1)
        counts = np.bincount(target.ravel(), minlength=256)[: len(labelled)]
        if not np.array_equal(counts, labelled):
            raise ValueError(
                f"{dataset.name}/test/{name}: its labels are not those that {some.folder} was "
                "tested on; correct data_root"
            )
        write_image(some.shared(name, "png"), target, some.classes)
        write_image(some.shared(name, "webp"), image)


def _store_photographs(run: Run, names: Iterable[str], data_root: str | Path | None) -> None:
    """Write the photographs at the size of their files; a drawn scene has no other size."""
    missing = [name for name in dict.fromkeys(names) if not run.shared(name, FULL).exists()]
    config = TrainConfig(**run.config)
    if not missing or family(config.dataset) == "scenes":
        return
    try:
        dataset = load_dataset(config.dataset, data_root, "test", None, config.test_images)
    except FileNotFoundError:
        return  # the smaller ones will do
    for name in missing:
        image = Image.fromarray(dataset.source.read(dataset.items.index(name))[0])
        image.thumbnail((image.width, TALLEST))
        write_image(run.shared(name, FULL), np.asarray(image))


def shown(
    runs: Sequence[Run], data_root: str | Path | None = None
) -> tuple[dict[str, str], str]:
    """Return the chosen images with the reasons, and a sentence that names them.

    Where predictions of all test images are not at hand, the choice is among those that are stored.
    """
    chosen = choose_images(runs)
    of = f"{len(runs[0].image_names)} test images"
    try:
        keep(runs, chosen, data_root)
    except FileNotFoundError:
        chosen = choose_images(runs, runs[0].examples)
        keep(runs, chosen, data_root)
        of = f"{len(runs[0].examples)} test images whose predictions are stored"
    names = listed([f"{literal(name)} ({reason})" for name, reason in chosen.items()])
    return chosen, f"Of the {of} the rule chooses {names}."


def main(out: str, data_root: str | None = None) -> None:
    """Make predictions from checkpoints where none are stored, then store the chosen images."""
    runs = load_runs(out)
    if not runs:
        sys.exit(f"{out}: no finished runs; expected runs/<variant>/seed-<k>/record.json")
    for run in runs:
        if not (run.folder / "predictions.npz").exists():
            write_predictions(run, load_split(TrainConfig(**run.config), "test", data_root))
    chosen = choose_images(runs)
    keep(runs, chosen, data_root)
    for name, reason in chosen.items():
        print(f"{name:24} {reason}")


if __name__ == "__main__":
    main(*sys.argv[1:])
