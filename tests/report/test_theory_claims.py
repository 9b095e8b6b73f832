"""The theory's statements: what is read from the studies, and verdicts on studies whose effects are known."""

from types import SimpleNamespace

import numpy as np
import pytest

from lib.metrics import mean_iou
from lib.models import TITLES
from lib.studies.probes import parts
from report.evidence import (
    theory_claims as claims, theory_measures as measures, theory_results as results,
)
from report.evidence.statistics import NotMeasured
from report.evidence.verdicts import CONTRADICTED, NOT_MEASURED, ONE_SEED, SUPPORTED, verdicts

IMAGES, PIXELS = 12, 1000
NETWORKS = ("unet", "unet-noskip", "unet-residual", "unet-gated-attention")


def confusions(iou: float, rng: np.random.Generator) -> np.ndarray:
    """(N, 2, 2) with about that IoU in both classes."""
    right = np.rint(PIXELS * 2 * iou / (1 + iou) + rng.normal(0, 3, IMAGES)).astype(int).clip(0, PIXELS)
    return np.stack([np.stack([right, PIXELS - right], -1), np.stack([PIXELS - right, right], -1)], 1)


def fake_run(variant: str, seed: int, lost: float = 0.1, noise: float = 0.05, alpha: float = 0.2, faded: float = 1.0,
             curvature: float = 100.0, false: int = 20) -> SimpleNamespace:
    """A studied run: what every lesion and disturbance costs, the spread of α, the fading of gradients, ..."""
    rng = np.random.default_rng([seed, *variant.encode()])
    names = ["intact", *(f"shuffle {level}" for level in (0, 1, 2, 3, "all")), f"skip noise {claims.SKIP_NOISE[1]}",
             f"clutter {claims.CLUTTER[1]}", f"input noise {claims.INPUT_NOISE[1]}", "alpha one", "alpha mean", "alpha other"]
    cost = [0, *[lost] * 5, *[noise] * 3, *[0.1] * 3]
    components = np.zeros((6, IMAGES, 5, 4), int)
    components[..., 2] = 1000
    components[..., 3] = 500 + rng.integers(-5, 5, components.shape[:-1])
    components[1:3, :, :2, 3] -= int(2000 * lost)  # finer skips serve small things, coarser ones large
    components[3:5, :, 3:, 3] -= int(2000 * lost)
    read = {name: 0.05 + 0.1 * ("joined" in name) for name, _ in parts(4)}
    sums = np.ones((IMAGES, 4, 2, 2)) * PIXELS
    sums[..., 0] *= 0.5 + np.array([-alpha, alpha]) + rng.normal(0, 0.002, (IMAGES, 1, 1))
    blocks = [*(f"encoder {level}" for level in range(5)), *(f"decoder {level}" for level in (3, 2, 1, 0))]
    norms = {"weight": np.ones((3, 9)), "blocks": np.array(blocks),
             "gradient": np.geomspace(faded, 1, 9) * np.exp(rng.normal(0, 0.01, (3, 1)))}
    norms["gradient"][:, 0] *= np.exp(rng.normal(0, 0.02))
    focus = np.array([0.5, 0.5]) if "gated" in variant else np.array([0.8, 0.2])
    false_components = np.zeros((IMAGES, 2, 5, 2), int)
    false_components[:, 1, 0, 0] = false + rng.integers(0, 3, IMAGES)
    return SimpleNamespace(
        folder=f"{variant}/{seed}", variant=variant, title=TITLES[variant], seed=seed,
        record={"dataset": {"pixels": {"train": [1000, 5]}}, "seconds": 100.0},
        image_names=[f"{i:02}" for i in range(IMAGES)], per_image=confusions(0.6, rng), gradients=norms,
        classes=SimpleNamespace(names=("Road", "Traffic sign")),
        structure={"false_components": false_components, "components": np.full((IMAGES, 2, 5, 4), 10)},
        studies={
            "names": np.array([f"{i:02}" for i in range(IMAGES)]), "conditions.names": np.array(names),
            "conditions.confusions": np.array([confusions(0.6 - c, rng) for c in cost]),
            "structure.boundary": np.array([[[[int(1000 * (0.4 - c)), 1000]] * 2] * IMAGES for c in cost[:6]])
            + rng.integers(0, 5, (6, IMAGES, 2, 2)),
            "structure.components": components,
            "probes.confusions": np.array([confusions(0.2 + share, rng) for share in read.values()]),
            "probes.edges": np.array([np.stack([100 * (1 - share) + rng.normal(0, 0.2, IMAGES), np.full(IMAGES, 100)], -1)
                                      for share in read.values()]),
            "gates.classes": sums, "gates.energy": np.ones((IMAGES, 4, 2, 2)) * focus[:, None] + rng.random((IMAGES, 4, 2, 2)) / 50,
            "landscape.curvature": np.full((2, 5), curvature * np.exp(rng.normal(0, 0.02))), "seconds": np.array(7.0),
            **{f"depth.{d}, {kind}: {key}": array for d in (4, 6) for kind in ("batch normalisation", "no normalisation")
               for key, array in norms.items()},
        },
    )


def runs(seeds: int = 3, **differences: dict) -> list[SimpleNamespace]:
    return [fake_run(variant, seed, **differences.get(variant.replace("-", "_"), {})) for variant in NETWORKS
            for seed in range(seeds)]


def by_id(found: list) -> dict[str, str]:
    return {verdict.claim.id: verdict.verdict for verdict in found}


def test_every_statement_can_hold():
    found = by_id(verdicts(runs(
        unet_noskip={"faded": 0.01}, unet_residual={"faded": 3.0, "curvature": 30.0},
        unet_gated_attention={"noise": 0.01, "false": 5}), claims.CLAIMS))
    # Of A2 one comparison reads the confusion matrices, which are alike here.
    false = [v for v in verdicts(runs(unet_gated_attention={"false": 5}), claims.CLAIMS) if v.claim.id == "A2"][0]
    assert false.findings[0].verdict == SUPPORTED and false.findings[0].estimate.images == IMAGES
    assert {key: verdict for key, verdict in found.items() if key != "A2"} == dict.fromkeys(
        ("T1", "T2", "T3", "A1", "A3", "R1"), SUPPORTED)


def test_every_statement_can_fail():
    found = by_id(verdicts(runs(
        unet={"lost": 0.0}, unet_noskip={"faded": 1.5}, unet_residual={"curvature": 300.0},
        unet_gated_attention={"noise": 0.2, "alpha": 0.0, "false": 60}), claims.CLAIMS))
    assert found == dict.fromkeys(("T1", "T2", "T3", "A1", "A2", "A3", "R1"), CONTRADICTED)


def test_one_seed_decides_nothing_and_nothing_measured_is_said():
    assert set(by_id(verdicts(runs(1), claims.CLAIMS)).values()) == {ONE_SEED}
    bare = runs()
    for run in bare:
        run.studies, run.gradients, run.structure = {}, {}, {}
    found = verdicts(bare, claims.CLAIMS)
    assert set(by_id(found).values()) == {NOT_MEASURED}
    assert "no study of" in found[0].sentence and "no norms of gradients" in " ".join(f.missing for f in found[2].findings)


def test_a_change_within_a_network_and_between_two():
    study = runs(2)
    unet, gated = ([run for run in study if run.variant == key] for key in ("unet", "unet-gated-attention"))
    estimate, cut, own = claims.SKIPPED.compare(unet, unet)
    by_hand = [[mean_iou(measures.condition(run, name).sum(0)) for run in unet] for name in ("shuffle all", "intact")]
    np.testing.assert_allclose([cut, own], np.mean(by_hand, 1))
    assert estimate.value == pytest.approx(cut - own) and estimate.seeds == (2,)
    estimate, one, other = claims.SKIPPED.compare(gated, unet)
    assert other == pytest.approx(cut - own) and estimate.value == pytest.approx(one - other) and estimate.seeds == (2, 2)
    text = next(f.text for v in verdicts(study, claims.CLAIMS) for f in v.findings if "noise" in f.comparison.measure.name)
    assert "change of mIoU under noise of 2 standard deviations on the skips −" in text and "points, " in text


def test_studies_of_different_images_are_not_compared():
    study = runs(2)
    study[0].studies["names"] = study[0].studies["names"][::-1]
    with pytest.raises(ValueError, match="were tested on different images"):
        claims.SKIPPED.compare(study[:2], study[:2])


def test_readings_by_hand():
    norms = {"gradient": np.array([[2.0, 9, 4], [8, 9, 4], [0, 9, 4]]), "weight": np.full((3, 3), 2.0),
             "blocks": np.array(["encoder 0", "bottleneck", "decoder 0"])}
    assert measures.attenuation(norms) == pytest.approx(1.0)  # of 1/2 and 2; a step without a gradient has no say
    components = np.zeros((4, 5, 4))
    components[..., 2] = 10
    components[..., 3] = 5
    components[:2, :2, 3] = 2  # the finer lesions leave 2 of 10 small pixels
    components[2:, 3:, 3] = 4  # the coarser ones 4 of 10 large ones
    assert measures.favour(components) == pytest.approx((0.5 - 0.2) - (0.4 - 0.5))
    sums = np.array([[[2.0, 10], [16, 20], [0, 0]]])  # α 0.2 on a third, 0.8 on two thirds, an absent class
    assert measures.spread(sums) == pytest.approx(np.sqrt(1 / 3 * 2 / 3) * 0.6)
    assert measures.explained(np.array([3.0, 4.0])) == pytest.approx(0.25)
    run = SimpleNamespace(record={"dataset": {"pixels": {"train": [900, 0, 95, 5]}}})
    assert measures.rare(run).tolist() == [False, False, False, True]
    run.record["dataset"]["pixels"]["train"] = [50, 0, 30, 20]
    assert measures.rare(run).tolist() == [False, False, False, True]  # the rarest, where none is rare
    with pytest.raises(NotMeasured, match="no condition 'alpha one' for U-Net"):
        measures.condition(SimpleNamespace(studies={"conditions.names": np.array(["intact"])}, title="U-Net"), "alpha one")


@pytest.fixture
def shown(monkeypatch) -> list:
    """What a notebook would display."""
    found = []
    monkeypatch.setattr(results.figures, "show", lambda figure, label, caption, alt: found.append((label, caption)))
    monkeypatch.setattr(results.figures, "say", lambda text: found.append(("say", text)))
    return found


def test_figures_and_sentences(shown):
    study = runs(2)
    for run in study:
        for name in ("shuffle", "zero"):
            for level in range(4):
                _add_condition(run, f"{name} {level}")
        for kind, strengths in (("skip noise", claims.SKIP_NOISE), ("clutter", claims.CLUTTER), ("input noise", claims.INPUT_NOISE)):
            for strength in strengths:
                _add_condition(run, f"{kind} {strength}")
        run.studies |= {f"gates.{name}": np.ones((IMAGES, 4, n, 2)) for name, n in (("distances", 6), ("correct", 2))}
        run.studies["landscape.slice"] = np.ones((9, 9)) + np.arange(9)
        for depth in (4, 5, 6):
            for kind in ("batch normalisation", "no normalisation"):
                run.studies |= {f"depth.{depth}, {kind}: {n}": np.ones((3, 2 * depth + 1)) for n in ("gradient", "weight")}
        run.gradients |= {"update": run.gradients["gradient"] / 100, "steps": np.arange(3)}
    results.show(study, *results.SHOWN)
    assert [label for label, _ in shown] == [f"fig-study-{name}" for name in results.SHOWN]
    assert all("2 seeds a network, 12 test images" in caption for _, caption in shown)
    shown.clear()
    results.say_effort(study)
    results.say_reading(study)
    results.say_verdicts(study, "T1", "A3")
    texts = [text for _, text in shown]
    assert "8 of the report's 8 runs and on 12 test images" in texts[0] and "7.0\N{NO-BREAK SPACE}% of what training took" in texts[0]
    assert "Traffic sign" in texts[0] and "At the bottleneck a linear map explains" in texts[1]
    assert texts[2].startswith("**T1. Skip connections carry") and texts[3].startswith("**A3. Gates filter")
    shown.clear()
    results.show([fake_run("unet-noskip", 0)], "lesions")
    assert shown == [("say", "*Not measured: no run of U-Net, Residual U-Net and Gated Attention U-Net.*")]


def _add_condition(run: SimpleNamespace, name: str) -> None:
    studies = run.studies
    if name not in studies["conditions.names"]:
        studies["conditions.names"] = np.append(studies["conditions.names"], name)
        for key in ("conditions.confusions", "structure.boundary", "structure.components"):
            while len(studies[key]) < len(studies["conditions.names"]):
                studies[key] = np.concatenate([studies[key], studies[key][1:2]])
