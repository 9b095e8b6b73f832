"""The findings of the first page: one seed decides nothing, several tell networks apart."""

import re
from dataclasses import replace

import numpy as np
import pytest

from lib.models import VARIANTS
from lib.records import load_runs
from report.evidence import sentences
from report.evidence.claims import judge
from report.evidence.wording import percent


@pytest.fixture(scope="module")
def runs(trained):
    return load_runs(trained)


def test_one_seed_is_said_to_decide_nothing(runs):
    found, undecided = sentences.finding(runs), sentences.undecided(runs, judge(runs))
    assert all(percent(run.miou) in found for run in runs) and "interval" not in found
    assert "no difference between networks is called significant" in undecided
    assert re.search(r"Of \d+ statements", undecided)


def test_several_seeds_tell_networks_apart(runs):
    """Three seeds of each; the images of the one are labelled right, those of the other wrong."""

    def like(variant, seed, right):
        run = replace(runs[0], record=runs[0].record | {"variant": variant, "seed": seed})
        counts = np.zeros_like(run.per_image)
        counts[:, range(13), range(13)], counts[:, range(13), np.roll(range(13), 1)] = (
            90 + seed if right else 9,
            9,
        )
        run.__dict__["_confusions"] = {"per_image": counts, "names": np.array(run.image_names)}
        run.record["test_confusion"] = counts.sum(0).tolist()
        return run

    study = [
        like(variant, seed, variant == "unet")
        for variant in list(VARIANTS)[:2]
        for seed in range(3)
    ]
    assert re.search(
        r"difference of −\d\d\.\d\spoints, 95 % interval −\d\d\.\d to −", sentences.finding(study)
    )
    certainty = sentences.certainty(study)
    assert "1 epoch; 3 seeds per network and 9 test images; trained on " in certainty
    assert re.search(r"trained on \d+ threads? of a CPU \(\w+ in b?float\d\d\)", certainty)
