"""What the theory chapter reads of a run: counts and numbers from `Run.studies`, gradients, false detections.

A `Change` compares two conditions of one and the same network on the same images, a lesion with the intact network for
instance; where it is compared between two networks, it is their changes that are.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from lib.metrics import nan_mean
from lib.models import DEPTH
from lib.records import Run
from lib.structure import ratio
from lib.studies.probes import parts
from report.evidence.findings import RARE
from report.evidence.statistics import (
    Estimate, Measure, NotMeasured, compare_counts, contrast_counts,
)

FINE, COARSE = (0, 1), (2, 3)  # levels of the skips
SMALL, LARGE = slice(0, 2), slice(3, None)  # bins of `SIZES`: under 64, from 256 px


def studied(run: Run, name: str) -> np.ndarray:
    """An array of the run's studies; NotMeasured where it is absent."""
    if name not in run.studies:
        raise NotMeasured(f"no study of {name.split('.')[0]} for seed {run.seed} of {run.title}")
    return run.studies[name]


def study_images(run: Run) -> list[str]:
    return studied(run, "names").tolist()


@dataclass(frozen=True)
class Change(Measure):
    """The first of two conditions less the second; counts are (N, 2, ...)."""

    images: Callable[[Run], list[str]] = study_images

    def difference(self, counts: np.ndarray) -> np.ndarray:
        return self.score(counts[:, 0]) - self.score(counts[:, 1])

    def total(self, counts: np.ndarray) -> np.ndarray:
        return self.difference(counts.sum(1))

    def compare(self, a: Sequence[Run], b: Sequence[Run]) -> tuple[Estimate, float, float]:
        """The change of one network, or that of A less that of B; both levels, or both changes."""
        if a[0].variant != b[0].variant:
            counts = self.counts((a, b))
            return compare_counts(*counts, self.difference), *(np.mean(self.total(c)) for c in counts)
        (counts,) = self.counts((a,))
        levels = (np.mean(self.score(counts.sum(1)[:, side])) for side in (0, 1))
        return contrast_counts([counts], [1], self.difference), *levels


def condition(run: Run, name: str, array: str = "conditions.confusions") -> np.ndarray:
    """Counts (N, ...) of one condition of `lib.studies.interventions`, or of the intact network."""
    names = studied(run, "conditions.names").tolist()
    if name not in names:
        raise NotMeasured(f"no condition {name!r} for {run.title}")
    return studied(run, array)[names.index(name)]


def conditions(run: Run, _, first: str, second: str, array: str = "conditions.confusions") -> np.ndarray:
    return np.stack([condition(run, first, array), condition(run, second, array)], 1)


def lesions(run: Run, _, levels: Sequence[int]) -> np.ndarray:
    """Confusions (N, 2, L, K, K): the single lesions of these levels, and the intact network."""
    return np.stack([conditions(run, _, f"shuffle {level}", "intact") for level in levels], 2)


def by_size(run: Run, _) -> np.ndarray:
    """Components (N, 2, 4 levels, sizes, 4): every single lesion, and the intact network."""
    pairs = [conditions(run, _, f"shuffle {level}", "intact", "structure.components") for level in (*FINE, *COARSE)]
    return np.stack(pairs, 2)


def favour(components: np.ndarray) -> np.ndarray:
    """Recall of large less recall of small things, fine lesions less coarse ones: (..., 4 levels, sizes, 4) -> (...)."""
    small, large = (ratio(components[..., bins, :].sum(-2), 3, 2) for bins in (SMALL, LARGE))
    by_level = large - small
    return by_level[..., list(FINE)].mean(-1) - by_level[..., list(COARSE)].mean(-1)


def probed(run: Run, array: str, name: str) -> np.ndarray:
    """Counts (N, ...) of the probe of that part."""
    return studied(run, f"probes.{array}")[[part for part, _ in parts(DEPTH)].index(name)]


def probes(run: Run, _, array: str, first: str, second: str) -> np.ndarray:
    return np.stack([probed(run, array, first), probed(run, array, second)], 1)


def explained(errors: np.ndarray) -> np.ndarray:
    """Share of the outlines' variance that a probe explains: (..., 2) -> (...)."""
    return 1 - ratio(errors)


def fading(norms: dict[str, np.ndarray]) -> np.ndarray:
    """The relative gradient of the first block by that of the last at every recorded step; NaN where one is zero."""
    names = norms["blocks"].tolist()
    first, last = ((norms["gradient"] / norms["weight"])[:, names.index(name)] for name in ("encoder 0", "decoder 0"))
    return np.divide(first, last, out=np.full_like(first, np.nan), where=(first > 0) & (last > 0))


def attenuation(norms: dict[str, np.ndarray]) -> float:
    """The geometric mean of `fading` over the steps."""
    return float(np.exp(nan_mean(np.log(fading(norms)))))


def trained(run: Run, _) -> float:
    if not run.gradients:
        raise NotMeasured(f"no norms of gradients for seed {run.seed} of {run.title}")
    return attenuation(run.gradients)


def deep(run: Run, _, depth: int, kind: str) -> float:
    return attenuation({name: studied(run, f"depth.{depth}, {kind}: {name}") for name in ("gradient", "weight", "blocks")})


def rare(run: Run) -> np.ndarray:
    """Which classes have less than `RARE` of the training pixels, or the rarest one; bool (K,)."""
    pixels = np.array(run.record["dataset"]["pixels"]["train"])
    share = np.where(pixels, pixels / pixels.sum(), np.inf)
    return np.isfinite(share) & (share < max(RARE, share.min() * 1.0001))


def false_components(run: Run, _) -> np.ndarray:
    """False components of the rare classes and their true components, (N, 2)."""
    if "false_components" not in run.structure:
        raise NotMeasured(f"no counts of false components for seed {run.seed} of {run.title}")
    counts = [run.structure[name][..., 0][:, rare(run)].sum((1, 2)) for name in ("false_components", "components")]
    return np.stack(counts, -1).astype(np.int64)


def false_pixels(run: Run, _) -> np.ndarray:
    """Pixels wrongly labelled as a rare class, and pixels of the rare classes, (N, 2)."""
    own, chosen = run.per_image, rare(run)
    false = own.sum(1)[:, chosen].sum(-1) - own[:, chosen, chosen].sum(-1)
    return np.stack([false, own.sum(2)[:, chosen].sum(-1)], -1)


def spread(sums: np.ndarray) -> np.ndarray:
    """Standard deviation of α between classes, the mean over levels: sums and pixels (..., levels, K, 2) -> (...)."""
    means, share = ratio(sums), ratio(np.stack([sums[..., 1], np.broadcast_to(
        sums[..., 1].sum(-1, keepdims=True), sums.shape[:-1])], -1))
    overall = np.nansum(means * share, -1, keepdims=True)
    return np.sqrt(np.nansum(share * (means - overall) ** 2, -1)).mean(-1)


def alpha_by_class(run: Run, _) -> np.ndarray:
    """Sums of α by class and the same without any difference between classes, (N, 2, levels, K, 2)."""
    sums = studied(run, "gates.classes")
    even = sums.copy()
    even[..., 0] = sums[..., 1]
    return np.stack([sums, even], 1)


def frequent_energy(run: Run, _=None) -> np.ndarray:
    """Gradient energy across the skips on pixels of the classes that are not rare, and on all: (N, levels, 2)."""
    energy = studied(run, "gates.energy")[..., 0]
    energy = energy / energy.sum((0, 2), keepdims=True)  # levels differ by orders of magnitude
    return np.stack([energy[..., ~rare(run)].sum(-1), energy.sum(-1)], -1)


def curvature(run: Run, _, kind: int) -> float:
    return float(np.abs(studied(run, "landscape.curvature")[kind, -1]))
