"""What is read from records and studies, and verdicts on the theory's statements.

The verdicts are from studies whose effects are known.
"""

from pathlib import Path
from types import SimpleNamespace

import matplotlib.pyplot as plt
import numpy as np
import pytest

from lib.files import ClassTable
from lib.metrics import mean_iou
from lib.models import TITLES
from lib.studies.interventions import CLUTTER, INPUT_NOISE, SKIP_NOISE
from lib.studies.probes import probed_parts
from report.evidence import measures, readings, scores
from report.evidence.claims import CLAIMS, THEORY, judge
from report.evidence.comparison import NOT_MEASURED, ONE_SEED, RULED_OUT, SUPPORTED
from report.evidence.design import FACTORIAL, SKIP_EFFECTS, estimates
from report.evidence.measure import Measure
from report.evidence.readings import NotMeasured
from report.evidence.statistics import BLOCK
from report.evidence.wording import points, versus
from report.figures import gradients, studies, theory

IMAGES, PIXELS = 12, 1000
NETWORKS = ("unet", "unet-noskip", "unet-residual", "unet-gated-attention")
FACTORS = [name for name in FACTORIAL.values() if name not in NETWORKS]


def confusions(iou: float, rng: np.random.Generator) -> np.ndarray:
    """(N, 2, 2) with about that IoU in both classes."""
    right = (
        np.rint(PIXELS * 2 * iou / (1 + iou) + rng.normal(0, 3, IMAGES)).astype(int).clip(0, PIXELS)
    )
    return np.stack(
        [np.stack([right, PIXELS - right], -1), np.stack([PIXELS - right, right], -1)], 1
    )


def fake_run(
    variant: str,
    seed: int,
    lost: float = 0.1,
    noise: float = 0.05,
    alpha: float = 0.2,
    faded: float = 1.0,
    convexity: float = 0.5,
    precise: int = 50,
    outlines: float = 0.4,
    folder: str = "",
) -> SimpleNamespace:
    """A studied run: what lesions and disturbances cost, what α does, how gradients fade, ..."""
    rng = np.random.default_rng([seed, *variant.encode()])
    names = [
        "intact",
        *(f"{kind} {level}" for kind in ("shuffle", "zero") for level in (0, 1, 2, 3, "all")),
        f"skip noise {SKIP_NOISE[1]}",
        f"clutter {CLUTTER[1]}",
        f"input noise {INPUT_NOISE[1]}",
        "alpha one",
        "alpha mean",
        "alpha other",
    ]
    cost = [0, *[lost] * 10, *[noise] * 3, *[0.1] * 3]
    small = np.array([0.4, 0.4, 0.5, 0.5, 0.5])
    small[:2] += sum(
        0.1 * (FACTORIAL_SKIPS.get(variant, "0000")[level] == "1") for level in (0, 1)
    )  # finer skips
    components = np.zeros((IMAGES, 2, 5, 4), int)
    components[..., 0], components[..., 2] = 10, 1000
    components[..., 3] = 1000 * small + rng.integers(-5, 5, components.shape[:-1])
    read = {name: 0.05 + 0.1 * ("joined" in name) for name, _ in probed_parts(4)}
    norms = {
        "weight": np.ones((3, 9)),
        "update": np.ones((3, 9)),
        "blocks": np.array(
            [
                *(f"encoder {level}" for level in range(5)),
                *(f"decoder {level}" for level in (3, 2, 1, 0)),
            ]
        ),
        "gradient": np.geomspace(faded, 1, 9) * np.exp(rng.normal(0, 0.01, (3, 1))),
    }
    norms["gradient"][:, [0, 4]] = faded * np.exp(rng.normal(0, 0.02))
    edges = np.full((IMAGES, 2, 2), 0) + [int(1000 * outlines), 1000]
    return SimpleNamespace(
        doses={},
        folder=folder or Path(f"{variant}/{seed}"),
        variant=variant,
        title=TITLES[variant],
        seed=seed,
        record={"dataset": {"name": "camvid", "pixels": {"train": [1000, 5]}}, "seconds": 100.0},
        image_names=IMAGE_NAMES,
        group=1,
        frames=[("drive", i) for i in range(IMAGES)],
        image_losses=None,
        per_image=confusions(0.6, rng),
        gradients=norms,
        classes=ClassTable(("Road", "Traffic sign"), ((0, 0, 0), (9, 9, 9))),
        structure={
            "false_components": np.ones((IMAGES, 2, 5, 2), int),
            "components": components,
            "boundary": edges + rng.integers(0, 5, edges.shape),
        },
        studies={
            "names": np.array(IMAGE_NAMES),
            "conditions.names": np.array(names),
            "conditions.confusions": np.array([confusions(0.6 - c, rng) for c in cost]),
            "structure.boundary": np.array(
                [[[[int(1000 * (0.4 - c)), 1000]] * 2] * IMAGES for c in cost[:11]]
            ),
            "structure.components": np.stack([components.sum(1)] * 11),
            "probes.confusions": np.array(
                [confusions(0.2 + share, rng) for share in read.values()]
            ),
            "probes.edges": np.array(
                [
                    np.stack(
                        [100 * (1 - share) + rng.normal(0, 0.2, IMAGES), np.full(IMAGES, 100)], -1
                    )
                    for share in read.values()
                ]
            ),
            **gates(alpha, rng),
            "matched.counts": matched(precise, rng),
            "matched.groups": np.arange(IMAGES),
            "landscape.eigenvalues": np.full(
                (2, 5, 2), [-convexity * np.exp(rng.normal(0, 0.02)), 1.0]
            ),
            "landscape.curvature": np.full((2, 5), 100.0),
            "seconds": np.array(7.0),
            **{
                f"depth.{d}, {kind}: {key}": array
                for d in (4, 6)
                for kind in ("batch normalisation", "no normalisation")
                for key, array in norms.items()
            },
        },
    )


FACTORIAL_SKIPS = {
    name: "".join(str(int(level in levels)) for level in range(4))
    for levels, name in FACTORIAL.items()
}
IMAGE_NAMES = [f"{i:02}" for i in range(IMAGES)]


def gates(alpha: float, rng: np.random.Generator) -> dict[str, np.ndarray]:
    """α rises by `alpha` from one class to the other and towards outlines; permuted it does not."""
    sums = {}
    for name, rise in (("classes", [-1, 1]), ("distances", [1, 1, 1, 0, 0, -1])):
        own = np.full((IMAGES, 4, len(rise), 2), float(PIXELS))
        own[..., 0] *= 0.5 + alpha * np.array(rise) + rng.normal(0, 0.002, (IMAGES, 1, 1))
        sums[f"gates.{name}"] = own
        sums[f"gates.permuted_{name}"] = np.full(
            (IMAGES, 4, len(rise), 4), 0.5 * PIXELS
        ) + rng.normal(0, 1, (IMAGES, 4, 1, 4))
    for name, focus in (("", 0.5 - alpha), ("_constant", 0.5), ("_detached", 0.5)):
        sums[f"gates.energy{name}"] = (
            np.ones((IMAGES, 4, 2, 2)) * np.array([0.5 + focus, 0.5 - focus])[:, None]
        )
        sums[f"gates.energy{name}"] += rng.random((IMAGES, 4, 2, 2)) / 50
    return sums | {"gates.energy_arriving": sums["gates.energy_constant"][..., 0]}


def matched(precise: int, rng: np.random.Generator) -> np.ndarray:
    """Counts by threshold of one class.

    Recall falls from 0.9 to 0, precision is about `precise` per cent.
    """
    counts = np.zeros((IMAGES, 1, 19, 7), int)
    counts[..., 0] = 100
    counts[..., 1] = precise + rng.integers(-3, 4, (IMAGES, 1, 1))
    counts[..., 2], counts[..., 3] = 100, np.arange(90, -5, -5)
    return counts


def runs(seeds: int = 3, **differences: dict) -> list[SimpleNamespace]:
    return [
        fake_run(variant, seed, **differences.get(variant.replace("-", "_"), {}))
        for variant in (*NETWORKS, *FACTORS)
        for seed in range(seeds)
    ]


def on_scenes(tmp_path: Path, slope: float, **differences: dict) -> list[SimpleNamespace]:
    """U-Net and the gated network on scenes.

    The gated one loses `slope` at the highest dose, U-Net 0.2.
    """
    found = []
    for variant, loss in (("unet", 0.2), ("unet-gated-attention", slope)):
        for seed in range(3):
            run = fake_run(
                variant,
                seed,
                folder=tmp_path / variant / str(seed),
                **differences.get(variant[5:] or variant, {}),
            )
            run.record["dataset"]["name"] = "scenes"
            rng = np.random.default_rng(seed)
            doses = np.array([confusions(0.6 - loss * dose, rng) for dose in (0, 0.5, 1)])
            pairs = doses.reshape(3, IMAGES // 2, 2, 2, 2).sum(2)  # scenes are counted in groups
            run.doses = {f"{kind}_confusions": pairs for kind in ("clutter", "noise")}
            run.doses["group"] = np.array(2)
            found.append(run)
    return found


def judged(study: list) -> list:
    return judge(study, [claim for claim in CLAIMS if claim.source == THEORY])


def by_id(found: list) -> dict[str, str]:
    return {verdict.claim.id: verdict.verdict for verdict in found}


def test_every_statement_can_hold(tmp_path):
    study = runs(
        unet_noskip={"faded": 0.3, "outlines": 0.3}, unet_residual={"faded": 3.0, "convexity": 0.2}
    )
    found = by_id(judged(study + on_scenes(tmp_path, 0.05, **{"gated-attention": {"precise": 80}})))
    assert found == dict.fromkeys(found, SUPPORTED) and len(found) == 9


def test_every_statement_can_fail(tmp_path, monkeypatch):
    monkeypatch.setattr(f"{__name__}.FACTORIAL_SKIPS", {})
    study = runs(
        unet_noskip={"faded": 1.5},
        unet_residual={"convexity": 0.9},
        unet_gated_attention={"alpha": 0.0},
    )
    found = by_id(judged(study + on_scenes(tmp_path, 0.3, **{"gated-attention": {"precise": 30}})))
    assert found == dict.fromkeys(found, RULED_OUT) and len(found) == 9


def test_one_seed_decides_nothing_and_what_is_not_measured_is_said(tmp_path):
    assert set(by_id(judged(runs(1))).values()) == {ONE_SEED, NOT_MEASURED}  # no scenes
    bare = runs(2)
    for run in bare:
        run.studies, run.gradients, run.structure = {}, {}, {}
    found = judged(bare + on_scenes(tmp_path, 0.1))
    said = {v.claim.id: v.primary[0].text for v in found}
    assert {key for key, verdict in by_id(found).items() if verdict == NOT_MEASURED} == set(
        by_id(found)
    ) - {"A1", "A2"}
    for key, missing in {
        "T1": "no counts of boundary",
        "T2": "no counts of components",
        "T3a": "no norms of gradients",
        "A3a": "no study of gates.distances",
        "A3b": "no study of gates.energy",
        "R1": "no study of landscape.eigenvalues",
    }.items():
        assert f"not measured ({missing} for seed 0 of" in said[key]
    for run in (scenes := on_scenes(tmp_path, 0.1)):
        run.doses = {}
        del run.studies["matched.counts"]
    said = {v.claim.id: v.primary[0].text for v in judged(scenes)}
    assert (
        "no doses of clutter for seed 0" in said["A1"]
        and "no study of matched.counts" in said["A2"]
    )


def test_seeds_without_studies_leave_the_verdicts_on_studies_as_they_are():
    study = runs(4)
    unstudied = [run for run in study if run.seed == 3]
    for run in unstudied:
        run.studies = {}
    both = {found.claim.id: found for found in judged(study)}
    rest = {found.claim.id: found for found in judged([r for r in study if r.seed != 3])}
    for statement in ("A3a", "A3b", "R1"):
        mine, others = both[statement].primary[0], rest[statement].primary[0]
        assert mine.estimate.seeds[0] == 3 and mine.estimate.value == others.estimate.value
        assert mine.sides == others.sides
    assert both["T1"].primary[0].estimate.seeds == (4, 4)


def test_doses_are_resampled_by_groups_of_scenes(tmp_path):
    scenes = on_scenes(tmp_path, 0.1)
    assert len(readings.dose_images(scenes[0])) == IMAGES // 2
    finding = {v.claim.id: v for v in judged(scenes)}["A1"].primary[0]
    assert finding.estimate.images == IMAGES // 2
    assert "on drawn scenes" in finding.text and "6 groups of scenes" in finding.text


def test_a_drive_is_resampled_in_blocks_of_the_film():
    run = SimpleNamespace(
        record={"dataset": {"name": "camvid"}},
        image_names=[str(index) for index in range(40)],
        group=1,
        frames=[("a" if index < 10 else "b", index) for index in range(40)],
    )
    drive = Measure("", None, images=lambda run: run.image_names[:10])
    half = Measure("", None, images=lambda run: run.image_names[10::2])
    assert drive._block(run) == BLOCK, "every frame of the drive is counted"
    assert half._block(run) == BLOCK // 2, "every other frame is counted"


def test_a_design_takes_the_seeds_that_all_its_networks_have():
    study = with_everything(runs(3))
    some = [run for run in study if run.variant in NETWORKS or run.seed > 0]
    effects = estimates(some, SKIP_EFFECTS, measures.MIOU)
    same = estimates([run for run in study if run.seed > 0], SKIP_EFFECTS, measures.MIOU)
    assert effects[0].seeds == (2,) * 16
    assert [each.value for each in effects] == [each.value for each in same]


def test_the_share_of_gradient_energy_on_frequent_classes_is_that_of_loops():
    rng = np.random.default_rng(3)
    run = fake_run("unet-gated-attention", 0)
    run.studies["gates.energy"] = rng.random((IMAGES, 4, 2, 2))  # across the skip, altogether
    run.studies["gates.energy_constant"] = rng.random((IMAGES, 4, 2))
    run.studies["gates.energy"] *= np.array([1, 10, 100, 1e4])[:, None, None]  # by level
    frequent = [0]  # "Traffic sign" has 0.5 % of the pixels
    shares = []
    for energy in (run.studies["gates.energy"][..., 0], run.studies["gates.energy_constant"]):
        of_levels = []
        for level in range(4):
            on_frequent, on_all = 0.0, 0.0
            for image in range(IMAGES):
                for index in range(2):
                    on_all += energy[image, level, index]
                    on_frequent += energy[image, level, index] * (index in frequent)
            of_levels.append(on_frequent / on_all)
        shares.append(sum(of_levels) / 4)
    sides = measures.ENERGY.sides(measures.ENERGY.contributions([run]).sum(1))
    assert sides[:, 0] == pytest.approx(shares)


def test_precision_is_read_from_the_doses_too():
    run = SimpleNamespace(
        studies={},
        doses={
            "matched.counts": np.ones((2, 1, 19, 7), np.int32),
            "matched.groups": np.array([0, 0, 1]),
        },
        image_names=["a", "b", "c"],
        group=1,
    )
    assert readings.by_threshold(run).shape == (2, 1, 19, 7)
    assert readings.matched_images(run) == ["a", "c"]


def test_a_change_within_a_network_and_between_two():
    study = runs(2)
    unet, gated = (
        [run for run in study if run.variant == key] for key in ("unet", "unet-gated-attention")
    )
    estimate, values = measures.CUT[0].contrast([unet], [1])
    by_hand = [
        [mean_iou(readings.condition(run, name).sum(0)) for run in unet]
        for name in ("shuffle all", "intact")
    ]
    np.testing.assert_allclose(values[0], np.subtract(*by_hand))
    assert estimate.value == pytest.approx(values[0].mean()) and estimate.seeds == (2,)
    estimate = measures.CUT[0].compare(gated, unet)
    one = measures.CUT[0].of(gated).mean()
    assert estimate.value == pytest.approx(one - values[0].mean()) and estimate.seeds == (2, 2)
    text = next(
        f.text for v in judged(study) for f in v.secondary if "noise" in f.comparison.measure.name
    )
    assert (
        text.startswith(
            "Change in mIoU under noise of 2 standard deviations on the skips: "
            "Gated Attention U-Net disturbed"
        )
        is False
    )
    start = (
        "Change in mIoU under noise of 2 standard deviations on the skips: Gated Attention U-Net −"
    )
    assert text.startswith(start) and ", U-Net −" in text
    text = next(
        f.text
        for v in judged(study)
        for f in v.primary
        if f.comparison.measure is measures.ALPHA_OUTLINES
    )
    assert text.startswith(
        "Mean α near outlines minus mean α far from them: "
        "Gated Attention U-Net as trained 0.40, α permuted 0.00; a difference of +0.40"
    )


def test_studies_of_different_images_are_not_compared():
    study = runs(2)
    study[0].studies["names"] = study[0].studies["names"][::-1]
    with pytest.raises(ValueError, match="were tested on different images"):
        measures.CUT[0].compare(study[:2], study[:2])


def test_readings_by_hand():
    norms = {
        "gradient": np.array([[2.0, 9, 4], [8, 9, 4], [0, 9, 4]]),
        "weight": np.full((3, 3), 2.0),
        "update": np.array([[2.0, 9, 4]] * 3),
        "blocks": np.array(["encoder 0", "encoder 4", "decoder 0"]),
    }
    run = SimpleNamespace(gradients=norms)
    assert readings.fading(norms) == pytest.approx(
        [0.5, 2, np.nan], nan_ok=True
    )  # a step without a gradient has no say
    assert (
        readings.gradient_at(run, "encoder 4") == 18
        and readings.gradient_at(run, "encoder 0") == 20 / 3
    )
    assert readings.update_ratio(run) == 0.5
    components = np.zeros((5, 4))
    components[:, 2], components[:2, 3], components[3:, 3] = 10, 2, 4
    assert scores.size_preference(components) == pytest.approx(0.2 - 0.4)
    counts = np.zeros((1, 3, 7))
    counts[..., 0], counts[0, :, 1], counts[..., 2], counts[0, :, 3] = (
        10,
        [4, 6, 8],
        100,
        [80, 60, 40],
    )
    assert scores.precision_at_recall(counts) == pytest.approx(
        0.7
    )  # half way between 60 and 40 of 100
    counts[0, :, 3] = [49, 48, 47]
    assert np.isnan(scores.precision_at_recall(counts))  # no threshold finds half of them
    line = np.array([confusions(iou, np.random.default_rng(0))[0] for iou in (0.6, 0.5, 0.4)])
    assert scores.slope(line) == pytest.approx(mean_iou(line[2]) - mean_iou(line[0]), abs=1e-9)
    near = np.full((4, 6, 2), 10.0)
    near[..., 0] = [9, 9, 9, 5, 5, 1]
    assert scores.near_less_far(near) == pytest.approx(0.8)
    for smallest, expected in ((-1.0, 0.25), (0.5, 0)):
        hessian = SimpleNamespace(studies={"landscape.eigenvalues": np.array([[[smallest, 4.0]]])})
        assert readings.non_convexity(hessian) == expected
    sums = np.array(
        [[[2.0, 10], [16, 20], [0, 0]]]
    )  # α 0.2 on a third, 0.8 on two thirds, an absent class
    assert scores.class_spread(sums) == pytest.approx(np.sqrt(1 / 3 * 2 / 3) * 0.6)
    assert scores.explained(np.array([3.0, 4.0])) == pytest.approx(0.25)
    run = SimpleNamespace(record={"dataset": {"pixels": {"train": [900, 0, 95, 5]}}})
    assert readings.rare(run).tolist() == [False, False, False, True]
    run.record["dataset"]["pixels"]["train"] = [50, 0, 30, 20]
    assert readings.rare(run).tolist() == [
        False,
        False,
        False,
        True,
    ]  # the rarest, where none is rare
    with pytest.raises(NotMeasured, match="no condition 'alpha one' for U-Net"):
        readings.condition(
            SimpleNamespace(studies={"conditions.names": np.array(["intact"])}, title="U-Net"),
            "alpha one",
        )


STUDIES = (
    studies.skips,
    studies.information,
    gradients.over_training,
    gradients.in_deeper_networks,
    studies.under_disturbances,
    studies.coefficients,
    studies.slices,
)


def with_everything(study: list) -> list:
    """The runs with all studies that figures show."""
    for run in study:
        for name in ("shuffle", "zero"):
            for level in range(4):
                _add_condition(run, f"{name} {level}")
        for kind, strengths in (
            ("skip noise", SKIP_NOISE),
            ("clutter", CLUTTER),
            ("input noise", INPUT_NOISE),
        ):
            for strength in strengths:
                _add_condition(run, f"{kind} {strength}")
        run.studies |= {"gates.correct": np.ones((IMAGES, 4, 2, 2))}
        run.studies["landscape.slice"] = np.ones((9, 9)) + np.arange(9)
        for depth in (4, 5, 6):
            for kind in ("batch normalisation", "no normalisation"):
                run.studies |= {
                    f"depth.{depth}, {kind}: {n}": np.ones((3, 2 * depth + 1))
                    for n in ("gradient", "weight")
                }
        run.gradients |= {"update": run.gradients["gradient"] / 100, "steps": np.arange(3)}
    return study


def test_figures_and_sentences(monkeypatch):
    study = with_everything(runs(2))
    drawn = {figure(study).label: figure(study).caption for figure in STUDIES}
    assert list(drawn) == [
        f"fig-study-{name}"
        for name in (
            "skips",
            "information",
            "training",
            "depths",
            "disturbances",
            "coefficients",
            "slices",
        )
    ]
    assert all("2 seeds per network" in caption for caption in drawn.values())
    without_images = [
        label
        for label, caption in drawn.items()
        if "2 seeds per network, 12 test images." not in caption
    ]
    assert without_images == ["fig-study-training", "fig-study-depths", "fig-study-slices"]
    plt.close("all")
    text = theory.effort(study)
    assert "all 36 runs and on 12 test images" in text and "(Traffic sign)" in text
    assert drawn["fig-study-information"].startswith("In the U-Net a linear probe explains")
    shown = []
    monkeypatch.setattr(theory, "say", shown.append)
    verdicts = judged(study)
    theory.answer(verdicts, "T1", "A3b", "A1")  # A1 has no scenes
    assert (
        len(shown) == 2
        and shown[0].startswith("**T1. Skip connections carry")
        and "Boundary IoU: U-Net without" in shown[0]
    )
    assert (
        theory.open_questions(verdicts)
        == "For want of trainings or studies on record, A1 and A2 are left out."
    )
    assert theory.open_questions([v for v in verdicts if v.claim.id == "T1"]) == ""


def test_classes_whose_recall_no_threshold_matches_are_named(tmp_path):
    study = on_scenes(tmp_path, 0.1)
    counts = np.concatenate([matched(50, np.random.default_rng(0))] * 2, 1)
    for run in study:
        run.studies |= {"matched.counts": counts.copy(), "matched.classes": np.array([0, 1])}
    assert theory.beyond_recall(study) == "", "both classes go through 50 %"
    study[0].studies["matched.counts"][:, 1, :, 3] = 60  # of 100 at every threshold
    assert (
        theory.beyond_recall(study) == "A2 is the mean over 1 of the 2 rare classes of the drawn "
        "scenes; no threshold brings the recall of Traffic sign to 50\N{NO-BREAK SPACE}%."
    )
    assert theory.beyond_recall(runs(1)) == "", "no scenes"
    del study[0].studies["matched.counts"]
    assert theory.beyond_recall(study) == "", "not counted"


def test_what_is_not_measured_is_left_out():
    assert all(figure([]) is None for figure in STUDIES)
    bare = runs(1)
    for run in bare:
        run.studies, run.gradients = {}, {}
    assert all(figure(bare) is None for figure in STUDIES)
    assert theory.effort(bare) == ""
    plt.close("all")


def test_lesions_stand_beside_what_retraining_loses():
    """Squares: the loss of boundary IoU where a network is trained without that skip.

    The loss is from the factorial's effects.
    """
    study = with_everything(runs(2))
    figure = studies.skips(study).content
    first, second, _ = figure.axes
    effects = estimates(study, SKIP_EFFECTS, measures.BOUNDARY)
    (squares,) = [line.get_ydata() for line in second.lines if line.get_marker() == "s"]
    assert squares == pytest.approx([-100 * effect.value for effect in effects])
    filled = next(line for line in first.lines if line.get_label() == "another image").get_ydata()
    unet = [run for run in study if run.variant == "unet"]
    by_hand = [
        np.mean(
            [
                mean_iou(readings.condition(run, f"shuffle {level}").sum(0))
                - mean_iou(readings.condition(run, "intact").sum(0))
                for run in unet
            ]
        )
        for level in range(4)
    ]
    assert filled == pytest.approx(100 * np.array(by_hand))
    alone = studies.skips(unet)
    assert "trained without" not in alone.caption and not [
        line for line in alone.content.axes[0].lines if line.get_marker() == "s"
    ]
    plt.close("all")


def test_reliance_and_necessity_of_a_skip_in_words():
    study = with_everything(runs(2))
    text = theory.reliance(study)
    unet = [run for run in study if run.variant == "unet"]
    lesions, retrained = [], []
    for level in range(4):
        lesions.append(studies.lost(unet, f"shuffle {level}", mean_iou).mean())
        name = FACTORIAL[tuple(each for each in range(4) if each != level)]
        without = [run for run in study if run.variant == name]
        retrained.append(measures.MIOU.of(without).mean() - measures.MIOU.of(unet).mean())
    level = int(np.argmin(np.subtract(lesions, retrained)))
    assert text.startswith(
        f"Fed another image's features at level {level}, the trained U-Net loses "
        f"{points(-lesions[level])} of mIoU; trained without that skip, it scores "
        f"{versus(retrained[level], 'with it')} ("
    )
    assert "Of the 6 interactions between two skips, 0 are significantly negative" in text
    assert theory.reliance(unet) == "", "without the other subsets of the skips"
    assert theory.reliance([run for run in study if run.seed == 0]) == "", "one seed"
    for run in study:
        run.studies = {}
    assert theory.reliance(study) == "", "without lesions"


def _add_condition(run: SimpleNamespace, name: str) -> None:
    studies = run.studies
    if name not in studies["conditions.names"]:
        studies["conditions.names"] = np.append(studies["conditions.names"], name)
        for key in ("conditions.confusions", "structure.boundary", "structure.components"):
            while len(studies[key]) < len(studies["conditions.names"]):
                studies[key] = np.concatenate([studies[key], studies[key][1:2]])
