"""Which test images are shown under every network: chosen by a rule, and stored beside the records.

The rule reads the confusion matrix of each test image under the first seed of each network and
nothing else, so that published records choose what the originals chose. To be shown, an image needs
its pixels, its ground truth and what each run predicts for it: `keep` writes what is missing of
these, from predictions.npz and the data set. Before runs are published,

    python -m report.figures.examples OUT [--data-root DIR]

stores them for the runs under OUT.
"""

import argparse
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np

from lib.data import load_split
from lib.evaluation import write_predictions
from lib.files import write_image
from lib.metrics import mean_iou
from lib.records import Run, first_seeds, load_runs
from lib.train import TrainConfig
from report.evidence.wording import listed, literal
from report.figures.style import LOOKS


def choose(runs: Sequence[Run]) -> dict[str, str]:
    """Return names of test images -> why each is shown; one that is chosen twice has both reasons.

    A network's score is the mIoU of one image, over the classes that occur in it or are predicted;
    ties go to the first image of the test set.
    """
    first = first_seeds(runs)
    some = next(iter(first.values()))
    scores = np.stack([mean_iou(run.per_image) for run in first.values()])  # (networks, images)
    means = scores.mean(0)
    ranked = np.argsort(means, kind="stable")[: np.isfinite(means).sum()]  # NaN: nothing but void
    on_signs = some.per_image[:, some.classes.signs].sum((1, 2))
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
        reasons.setdefault(some.image_names[index], []).append(reason)
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
    missing = [name for name in names if not _stored(some, name)]
    if not missing:
        return
    dataset = load_split(TrainConfig(**some.config), "test", data_root)
    for name in missing:
        image, target = dataset.read(dataset.items.index(name))
        labelled = some.per_image[some.image_names.index(name)].sum(1)
        counts = np.bincount(target.ravel(), minlength=256)[: len(labelled)]
        if not np.array_equal(counts, labelled):
            raise ValueError(
                f"{dataset.name}/test/{name}: its labels are not those that {some.folder} was "
                "tested on; correct data_root"
            )
        write_image(some.shared(name, "png"), target, some.classes)
        write_image(some.shared(name, "webp"), image)


def _stored(run: Run, name: str) -> bool:
    return all(run.shared(name, kind).exists() for kind in ("png", "webp"))


def shown(
    runs: Sequence[Run], data_root: str | Path | None = None
) -> tuple[dict[str, str], str]:
    """Return the chosen images, or the fixed ones where those lack, and say which in a sentence."""
    chosen = choose(runs)
    try:
        keep(runs, chosen, data_root)
    except FileNotFoundError:
        fixed = runs[0].examples
        return dict.fromkeys(fixed, "evenly spaced"), (
            "Predictions of the chosen images are not stored with these records; the "
            f"{len(fixed)} below are evenly spaced over the test set."
        )
    names = listed([f"{literal(name)} ({reason})" for name, reason in chosen.items()])
    return chosen, f"Of the {len(runs[0].image_names)} test images the rule chooses {names}."


def main(arguments: list[str] | None = None) -> None:
    """Make predictions from checkpoints where none are stored, then store the chosen images."""
    parser = argparse.ArgumentParser(
        prog="python -m report.figures.examples",
        description="Store the test images that the report shows, with every run's predictions.",
    )
    parser.add_argument("out", help="the folder that holds runs/")
    parser.add_argument("--data-root", help="the folder that holds the data set")
    options = parser.parse_args(arguments)
    runs = load_runs(options.out)
    if not runs:
        parser.error(
            f"{options.out}: no finished runs; expected runs/<variant>/seed-<k>/record.json"
        )
    test = None
    for run in runs:
        if not (run.folder / "predictions.npz").exists():
            test = test or load_split(TrainConfig(**run.config), "test", options.data_root)
            write_predictions(run, test)
    chosen = choose(runs)
    keep(runs, chosen, options.data_root)
    for name, reason in chosen.items():
        print(f"{name:24} {reason}")


if __name__ == "__main__":
    main()
