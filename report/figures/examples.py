"""Which test images are shown under every network: chosen by a rule, and stored beside the records.

The rule reads the confusion matrix of each test image under the first seed of each network and nothing else, so that
published records choose what the originals chose. To be shown, an image needs its pixels, its ground truth and what
each run predicts for it: `keep` writes what is missing of these, from predictions.npz and the data set.

    python -m report.figures.examples OUT [--data-root DIR]    keeps them for the runs under OUT, before these are published
"""

import argparse
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np

from lib.data import load_split
from lib.evaluation import write_predictions
from lib.files import write_image
from lib.metrics import mean_iou
from lib.records import Run, load_runs
from lib.train import TrainConfig
from report.evidence.wording import listed, literal
from report.figures.style import SHORT, first_seeds


def choose(runs: Sequence[Run]) -> dict[str, str]:
    """Names of test images -> why each is shown. An image that is chosen twice has both reasons.

    A network's score is the mIoU of one image, over the classes that occur in it or are predicted; ties go to the
    first image of the test set.
    """
    first = first_seeds(runs)
    some = next(iter(first.values()))
    scores = np.stack([mean_iou(run.per_image) for run in first.values()])  # (networks, images)
    ranked = np.argsort(scores.mean(0), kind="stable")[: np.isfinite(scores.mean(0)).sum()]  # an image may be all void
    on_signs = some.per_image[:, some.classes.signs].sum((1, 2))
    picks = [(np.nanargmax(np.ptp(scores, axis=0)), "the networks differ most")] if len(first) > 1 else []
    picks += [(ranked[(len(ranked) - 1) // 2], "the median image")]
    picks += [(on_signs.argmax(), "most pixels of signs")] if on_signs.any() else []
    worst = np.nanargmin(scores, axis=1)
    for index in dict.fromkeys(worst):
        names = [SHORT[key] for key, lowest in zip(first, worst) if lowest == index]
        picks.append((index, f"worst for {listed(names) if len(names) < len(first) else 'every network'}"))
    reasons: dict[str, str] = {}
    for index, reason in picks:
        name = some.image_names[index]
        reasons[name] = f"{reasons[name]}, {reason}" if name in reasons else reason
    return reasons


def keep(runs: Sequence[Run], names: Iterable[str], data_root: str | Path | None = None) -> None:
    """Writes what is missing to show these test images: the prediction of every run, the image, its ground truth.

    Raises FileNotFoundError where predictions.npz or the data set is absent and needed, and ValueError for a data set
    whose labels are not those that the runs were tested on.
    """
    for run in runs:
        for name in names:
            path = run.folder / "predictions" / f"{name}.png"
            if not path.exists():
                write_image(path, run.prediction(name), run.classes)
    some = runs[0]
    missing = [name for name in names if not (some.shared(name, "png").exists() and some.shared(name, "webp").exists())]
    if not missing:
        return
    dataset = load_split(TrainConfig(**some.config), "test", data_root)
    for name in missing:
        image, target = dataset.read(dataset.items.index(name))
        labelled = some.per_image[some.image_names.index(name)].sum(1)
        if not np.array_equal(np.bincount(target.ravel(), minlength=256)[: len(labelled)], labelled):
            raise ValueError(f"{dataset.name}/test/{name}: its labels are not those that {some.folder} was tested on; "
                             "correct data_root")
        write_image(some.shared(name, "png"), target, some.classes)
        write_image(some.shared(name, "webp"), image)


def shown(runs: Sequence[Run], data_root: str | Path | None = None) -> tuple[dict[str, str], str]:
    """The chosen images, or where they are not at hand the fixed ones, and a sentence that says which."""
    chosen = choose(runs)
    try:
        keep(runs, chosen, data_root)
    except FileNotFoundError:
        fixed = runs[0].examples
        return dict.fromkeys(fixed, "evenly spaced"), (
            f"Predictions of the chosen images are not stored with these records; the {len(fixed)} below are evenly "
            "spaced over the test set.")
    return chosen, (
        f"Of the {len(runs[0].image_names)} test images the rule chooses "
        f"{listed([f'{literal(name)} ({reason})' for name, reason in chosen.items()])}.")


def pages(chosen: dict[str, str], size: int = 2) -> list[dict[str, str]]:
    """The images in the order in which they were chosen, so many to a figure."""
    items = list(chosen.items())
    return [dict(items[start : start + size]) for start in range(0, len(items), size)]


def main(arguments: list[str] | None = None) -> None:
    """Predictions from checkpoints where a run has none stored, then everything that the chosen images need."""
    parser = argparse.ArgumentParser(prog="python -m report.figures.examples", description=choose.__doc__.splitlines()[0])
    parser.add_argument("out", help="the folder that holds runs/")
    parser.add_argument("--data-root", help="the folder that holds the data set")
    options = parser.parse_args(arguments)
    runs, test = load_runs(options.out), None
    if not runs:
        parser.error(f"{options.out}: no finished runs; expected runs/<variant>/seed-<k>/record.json")
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
