"""A measure: one number of a network, and how networks are compared by it.

A `Measure` says what is read of each run, and which score is made of that. A `Change` is the
difference between two conditions of the same network, such as with a lesion and without; between
two networks their changes are compared.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from lib.datasets import family
from lib.records import Run
from report.evidence import readings
from report.evidence.readings import NotMeasured
from report.evidence.statistics import (
    BLOCK, Estimate, Frames, compare_ratios, contrast_counts, contrast_numbers,
)  # fmt: skip
from report.evidence.wording import Unit, percent, points

GROUPS = "groups of images"  # whose counts are summed


def with_studies(runs: Sequence[Run]) -> Sequence[Run]:
    """Return the runs whose networks were studied; all of them where none was."""
    return [run for run in runs if run.studies] or runs


def of_common_seeds(groups: Sequence[Sequence[Run]]) -> list[Sequence[Run]]:
    """Return the runs of the seeds that every group has; all of them where none is common."""
    seeds = set.intersection(*({run.seed for run in group} for group in groups))
    return [[run for run in group if run.seed in seeds] or group for group in groups]


def frames_of(run: Run, names: Sequence[str]) -> list[tuple[str, int]]:
    """Return drive and frame of each of these images; a drawn scene is a drive of its own."""
    if family(run.record["dataset"]["name"]) == "scenes":
        return [(name, 0) for name in names]
    places = dict(zip(run.image_names, run.frames))
    return [places[name] for name in names]


def counted_names(run: Run) -> list[str]:
    """Return the name of each test image that was counted, of a group that of its first."""
    return run.image_names[:: run.group]


@dataclass(frozen=True)
class Measure:
    """One number of a network, from what each of its runs contributes."""

    name: str
    read: Callable[[Run], np.ndarray | float]
    level: Unit = percent
    unit: Unit = points  # of differences
    score: Callable | None = None  # counts (..., *) -> (...); None where a run gives a number
    relative: bool = False  # numbers are compared as a ratio of means
    images: Callable[[Run], list[str]] = counted_names
    counted: str = "images"  # or groups of them
    studied: bool = False  # it is read from studies, which only some seeds have

    def among(self, runs: Sequence[Run]) -> Sequence[Run]:
        """Return the runs that count: those with studies, where the measure needs them."""
        return with_studies(runs) if self.studied else runs

    def total(self, counts: np.ndarray) -> np.ndarray:
        """Return the scores (...) of counts (..., *) that were summed over images."""
        return self.score(counts)

    def values(self, contributed: np.ndarray) -> np.ndarray:
        """Return the number of each run, (S,), of numbers (S,) or of counts (S, N, ...)."""
        if self.score is None:
            return contributed.astype(float)
        return self.total(contributed.sum(1))

    def contributions(self, runs: Sequence[Run]) -> np.ndarray:
        """Return what each run contributes; raise NotMeasured where one lacks it."""
        contributed = np.stack([np.asarray(self.read(run)) for run in self.among(runs)])
        if not np.isfinite(self.values(contributed)).all():
            raise NotMeasured("nothing in the data to measure it by")
        return contributed

    def of(self, runs: Sequence[Run]) -> np.ndarray:
        """Return the number of each run; raise NotMeasured where one has none."""
        return self.values(self.contributions(runs))

    def contrast(
        self, groups: Sequence[Sequence[Run]], weights: Sequence[float]
    ) -> tuple[Estimate, list[np.ndarray]]:
        """Return the weighted sum of the networks' means, and each network's values by run.

        Of a design, which has more than two networks, those seeds count that all of them have.
        Raise NotMeasured where a run lacks something, and ValueError when runs were tested on
        different images.
        """
        if len(groups) > 2:
            groups = of_common_seeds(groups)
        contributed = [self.contributions(group) for group in groups]
        values = [self.values(part) for part in contributed]
        if self.score:
            runs = [run for group in groups for run in self.among(group)]
            frames, block = self._common_frames(runs), self._block(runs[0])
            estimate = contrast_counts(contributed, weights, self.total, frames, block)
            several = self.counted == "images" and runs[0].group > 1
            return replace(estimate, counted=GROUPS if several else self.counted), values
        if self.relative:
            return compare_ratios(*values), values
        return contrast_numbers(values, weights), values

    def compare(self, a: Sequence[Run], b: Sequence[Run]) -> Estimate:
        """Return the estimate of A - B."""
        return self.contrast((a, b), (1, -1))[0]

    def _block(self, run: Run) -> int:
        """Return as long a piece of the film as `BLOCK`, where not every frame was counted."""
        frames = frames_of(run, self.images(run))
        drives = {drive for drive, _ in frames}
        every = frames_of(run, run.image_names)
        return max(1, round(BLOCK * len(frames) / sum(drive in drives for drive, _ in every)))

    def _common_frames(self, runs: Sequence[Run]) -> Frames:
        first = runs[0]
        for run in runs:
            if self.images(run) != self.images(first):
                message = "were tested on different images: do not mix them"
                raise ValueError(f"{first.folder} and {run.folder} {message}")
        return frames_of(first, self.images(first))


@dataclass(frozen=True)
class Change(Measure):
    """The first condition minus the mean of the others; counts are (N, conditions, ...)."""

    images: Callable[[Run], list[str]] = lambda run: readings.studied(run, "names").tolist()
    studied: bool = True
    first: str = ""  # the first condition, in words
    others: str = "intact"

    def sides(self, counts: np.ndarray) -> np.ndarray:
        """Return the scores of the first condition and the mean of the others, (2, ...)."""
        first, *others = (self.score(each) for each in np.moveaxis(counts, 1, 0))
        return np.stack([first, np.mean(others, 0)])

    def total(self, counts: np.ndarray) -> np.ndarray:
        """Return the scores' differences."""
        first, others = self.sides(counts)
        return first - others
