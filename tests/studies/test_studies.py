"""The studies of a trained network, one by one and all of them together.

Each is held against a case worked out by hand or by brute force.
"""

from contextlib import nullcontext

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from lib.data import as_image
from lib.files import write_arrays
from lib.machine import Machine
from lib.models import build_model
from lib.records import Run
from lib.studies import chosen, depth, gates, landscape, probes, theory
from lib.metrics import cross_entropy
from lib.train import fit

MACHINE = Machine(torch.device("cpu"), bfloat16=False)


@pytest.fixture
def batch() -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(1)
    images = torch.randint(256, (2, 3, 32, 48), generator=generator, dtype=torch.uint8)
    targets = (
        torch.randint(3, (2, 4, 6), generator=generator)
        .repeat_interleave(8, 1)
        .repeat_interleave(8, 2)
        .byte()
    )
    targets[:, :, :8] = 255
    return images, targets


def test_sums_of_coefficients_by_class_and_place(batch):
    torch.manual_seed(0)
    model = build_model("unet-gated-attention", num_classes=3, base_channels=4).eval()
    for level, skip in enumerate(model.skips):
        nn.init.zeros_(skip.coefficients.psi.weight)
        nn.init.constant_(
            skip.coefficients.psi.bias, float(level)
        )  # alpha = sigmoid(level) everywhere
    found = gates.coefficient_sums(model, *batch, MACHINE)
    counts = np.stack([np.bincount(t.numpy().ravel(), minlength=256) for t in batch[1]])
    expected = torch.sigmoid(torch.arange(4.0)).numpy()
    np.testing.assert_array_equal(found["classes"][..., 1], counts[:, None].repeat(4, 1))
    for name in ("classes", "distances", "correct"):
        sums = found[name][..., :3, :] if name == "classes" else found[name]
        np.testing.assert_allclose(sums[..., 0], expected[:, None] * sums[..., 1], rtol=1e-5)
        assert sums[..., 1].sum() == 4 * (batch[1] != 255).sum()
    for name in (
        "classes",
        "distances",
    ):  # one coefficient everywhere: a permutation changes nothing
        sums = found[f"permuted_{name}"]
        np.testing.assert_allclose(
            sums, found[name][..., :1].repeat(gates.PERMUTATIONS, -1), rtol=1e-5
        )
    right = (model(as_image(batch[0])).argmax(1) == batch[1])[batch[1] != 255].sum()
    assert found["correct"][:, 0, 1, 1].sum() == right
    assert (
        gates.coefficient_sums(build_model("unet", base_channels=2).eval(), *batch, MACHINE) == {}
    )


def test_permuted_coefficients_have_the_same_total_and_no_place(batch):
    torch.manual_seed(0)
    model = build_model("unet-gated-attention", num_classes=3, base_channels=4).eval()
    images, targets = batch
    targets[:] = 0
    targets[:, :, 24:] = 1
    maps = [torch.zeros(2, 1, 32 >> level, 48 >> level) for level in range(4)]
    for alpha in maps:
        alpha[..., alpha.shape[-1] // 2 :] = 1  # alpha is the class
    for gate, alpha in zip(model.skips, maps):
        gate.coefficients.register_forward_hook(lambda gate, inputs, output, alpha=alpha: alpha)
    found = gates.coefficient_sums(model, images, targets, MACHINE)
    half = 32 * 24
    assert (found["classes"][:, :, :2, 0] == [0, half]).all() and (
        found["classes"][:, :, :2, 1] == half
    ).all()
    permuted = found["permuted_classes"][:, :, :2]
    assert permuted.shape == (2, 4, 2, gates.PERMUTATIONS)
    np.testing.assert_allclose(permuted.sum(2), half)
    np.testing.assert_allclose(permuted[:, 0, 0] / half, 0.5, atol=0.08)  # level 0 has 1,536 cells
    assert len(np.unique(permuted[:, 0, 0])) > 4  # other images and other permutations, other sums
    again = gates.coefficient_sums(model, images, targets, MACHINE)
    assert np.array_equal(again["permuted_distances"], found["permuted_distances"])


def test_bins_of_distance_to_an_outline():
    target = np.zeros((9, 40), np.uint8)
    target[:, 20:] = 1  # the outline is columns 19 and 20
    bins = gates._distance_bins(target)[4]
    assert (
        bins[18:22].tolist() == [1, 0, 0, 1]
        and bins[16] == 2
        and bins[14] == 3
        and bins[8] == 4
        and bins[0] == 5
    )
    assert (gates._distance_bins(np.zeros((4, 4), np.uint8)) == 5).all()


@pytest.mark.parametrize("variant", ["unet", "unet-gated-attention"])
def test_gradient_energy_is_that_of_autograd_shared_out_by_area(variant, batch):
    torch.manual_seed(0)
    model, weights = (
        build_model(variant, num_classes=3, base_channels=4).eval(),
        torch.tensor([1.0, 2.0, 0.5]),
    )
    energy = gates.gradient_energy(model, *batch, weights, MACHINE)
    assert energy.shape == (2, 4, 3, 3) and (energy >= 0).all()
    if variant == "unet":  # its skips hand on what they are given
        np.testing.assert_allclose(energy[..., 2], energy[..., 0], rtol=1e-5)
    assert not any(p.grad is not None for p in model.parameters())
    kept = []

    def keep(block, inputs, output):
        output.retain_grad()
        kept.append(output)

    handle = model.encoder[3].register_forward_hook(keep)
    target = batch[1].long()
    losses = F.cross_entropy(
        model(as_image(batch[0])), target, weights, ignore_index=255, reduction="none"
    ).sum((1, 2)) / (target != 255).sum((1, 2))
    losses.sum().backward()
    handle.remove()
    cells = kept[0].grad.square().sum(1)  # level 3: cells of 8 x 8 pixels, each of one class
    labels = target[:, ::8, ::8]
    expected = [[cells[i][labels[i] == k].sum().item() for k in range(3)] for i in range(2)]
    np.testing.assert_allclose(energy[:, 3, :, 1], expected, rtol=1e-4)
    assert (energy[:, 3, :, 0] != energy[:, 3, :, 1]).any()


def test_gates_let_the_gradient_through_by_their_formula(batch):
    """Three gates on the way back across the finest skip, each against its rule, pixel by pixel.

    With u the gradient that arrives: alpha u where alpha is detached, its mean times u where it is
    constant, and alpha u plus what flows through alpha = sigma(psi(relu(W_x x + W_g g))) where
    nothing is changed.
    """
    torch.manual_seed(0)
    model, weights = (
        build_model("unet-gated-attention", num_classes=3, base_channels=4).eval(),
        torch.ones(3),
    )
    gate = model.skips[0].coefficients
    nn.init.normal_(gate.psi.weight, std=2.0)
    nn.init.normal_(gate.w_x.weight, std=2.0)  # so that alpha varies
    target, energies = batch[1].long(), []
    for name in ("as it is", "detached", "constant"):
        seen = {}

        def take(skip, inputs, output):
            seen["features"], seen["gating"], seen["output"] = (
                inputs[0].detach(),
                inputs[1].detach(),
                output,
            )
            output.retain_grad()

        condition = {"detached": gates.detached, "constant": gates.constant}.get(name)
        handle = model.skips[0].register_forward_hook(take)
        with condition(model) if condition else nullcontext():
            energy = gates.gradient_energy(model, *batch, weights, MACHINE)
            losses = F.cross_entropy(
                model(as_image(batch[0])), target, ignore_index=255, reduction="none"
            ).sum((1, 2))
            (losses / (target != 255).sum((1, 2))).sum().backward()
        handle.remove()
        model.zero_grad(set_to_none=True)
        arriving, x = seen["output"].grad, seen["features"].requires_grad_()
        alpha = gate(x, seen["gating"])
        if name == "as it is":
            (expected,) = torch.autograd.grad((x * alpha * arriving).sum(), x)
        elif name == "detached":
            expected = alpha.detach() * arriving
        else:
            expected = alpha.detach().mean((1, 2, 3))[:, None, None, None] * arriving
        for gradient, column in ((expected, 0), (arriving, 2)):
            cells = gradient.square().sum(1)
            by_hand = [[cells[i][target[i] == k].sum().item() for k in range(3)] for i in range(2)]
            np.testing.assert_allclose(energy[:, 0, :, column], by_hand, rtol=1e-4)
        energies.append(energy[:, 0, :, 0])
    for first, second in (
        (0, 1),
        (0, 2),
        (1, 2),
    ):  # the three rules differ by far more than rounding
        assert np.abs(energies[first] / energies[second] - 1).max() > 0.01


def test_a_probe_reads_what_is_linear_within_every_cell(batch, monkeypatch):
    """Where a level's features spell out the labels under their positions, its probe is perfect."""

    def spelt_out(model, batches, number, machine):
        for images, targets in batches:
            labels = F.one_hot(torch.where(targets == 255, number, targets.long()), number + 1)[
                ..., :-1
            ]
            edges = torch.from_numpy(np.stack([probes.edge_map(t) for t in targets]))[:, None]
            wanted = torch.cat([labels.permute(0, 3, 1, 2), edges], 1).float()
            yield (
                [F.pixel_unshuffle(wanted, 2**level) for _, level in probes.probed_parts(4)],
                wanted,
            )

    model = build_model("unet", num_classes=3, base_channels=2).eval()
    generator = torch.Generator().manual_seed(2)
    train = [
        (
            torch.zeros(40, 3, 32, 48, dtype=torch.uint8),
            torch.randint(3, (40, 32, 48), generator=generator, dtype=torch.uint8),
        )
        for _ in range(30)
    ]
    monkeypatch.setattr(probes, "_features_and_maps", spelt_out)
    monkeypatch.setattr(probes, "RIDGE", 1e-9)
    found = probes.probe(model, train, [batch], torch.ones(3), MACHINE)
    assert found["confusions"].shape == (13, 2, 3, 3)
    for confusion in found["confusions"].sum(1):
        assert np.array_equal(
            confusion, np.diag(np.bincount(batch[1].numpy().ravel(), minlength=256)[:3])
        )
    assert (found["edges"][..., 0] < 1e-2 * found["edges"][..., 1]).all()


def test_probes_of_a_network_see_its_features(batch):
    torch.manual_seed(0)
    model = build_model("unet", num_classes=3, base_channels=4).eval()
    colours = torch.tensor([[250, 0, 0], [0, 250, 0], [0, 0, 250], [9, 9, 9]], dtype=torch.uint8)
    targets = batch[1]
    images = colours[torch.where(targets == 255, 3, targets.long())].permute(0, 3, 1, 2)
    model.encoder[0] = nn.Conv2d(3, 4, 1)  # a linear map of the colour, which tells the class
    found = probes.probe(
        model, [(images, targets)] * 2, [(images, targets)], torch.ones(3), MACHINE
    )
    names = [name for name, _ in probes.probed_parts(4)]
    assert names[4] == "bottleneck" and names[5:7] == ["from below 3", "joined 3"]
    first, joined = (
        found["confusions"][names.index(name)].sum(0) for name in ("encoder 0", "joined 0")
    )
    assert (
        np.trace(first) == first.sum() == (targets != 255).sum()
        and np.trace(joined) == joined.sum()
    )


def test_the_untrained_network_is_the_one_that_a_training_starts_from(batch):
    found = probes.untrained_network("unet-residual", 4, 3, 7, [batch, batch], MACHINE)
    torch.manual_seed(7)
    begun = build_model("unet-residual", num_classes=3, base_channels=4)
    assert all(torch.equal(a, b) for a, b in zip(found.parameters(), begun.parameters()))
    assert not found.training
    first = found.encoder[0].residual
    convolved = first[0](as_image(batch[0]))
    torch.testing.assert_close(
        first[1].running_mean, convolved.mean((0, 2, 3)), rtol=1e-4, atol=1e-6
    )


class Small(nn.Sequential):
    """Two layers of 1 x 1 convolutions, whose whole Hessian can be computed."""

    def __init__(self):
        torch.manual_seed(3)
        super().__init__(nn.Conv2d(3, 2, 1), nn.Tanh(), nn.Conv2d(2, 3, 1))


def dense_hessian(model: Small, images: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """The whole Hessian over the weights of both layers, entry by entry."""
    parts = [weight for weight, _ in landscape.filters(model)]
    shapes, sizes = [p.shape for p in parts], [p.numel() for p in parts]

    def loss(vector):
        first, second = (v.view(s) for v, s in zip(vector.split(sizes), shapes))
        hidden = torch.tanh(F.conv2d(as_image(images), first, model[0].bias))
        logits = F.conv2d(hidden, second, model[2].bias)
        return F.cross_entropy(
            logits, targets.long(), torch.tensor([1.0, 2.0, 0.5]), ignore_index=255
        )

    return torch.func.hessian(loss)(torch.cat([p.detach().flatten() for p in parts])).double()


def test_curvature_is_both_ends_of_the_spectrum_of_the_whole_hessian(batch, monkeypatch):
    monkeypatch.setattr(landscape, "TOLERANCE", 1e-4)
    model, weights, (images, targets) = Small(), torch.tensor([1.0, 2.0, 0.5]), batch
    targets[1, :, 8:24] = 255  # the images have unequal shares of the mean
    hessian = dense_hessian(model, images, targets)
    filters = [p.detach() for p, _ in landscape.filters(model)]
    hessian = hessian.detach()
    lengths = torch.cat(
        [p.square().sum((1, 2, 3), keepdim=True).sqrt().expand_as(p).flatten() for p in filters]
    ).double()
    alone = [(images[i : i + 1], targets[i : i + 1]) for i in range(2)]
    for normalised, matrix in ((False, hessian), (True, lengths[:, None] * hessian * lengths)):
        expected = torch.linalg.eigvalsh(matrix)[[0, -1]].numpy()
        assert expected[0] < 0 < expected[1]
        for batches in ([batch], alone):
            found = landscape.spectra(model, batches, weights, MACHINE, 0)[normalised]
            ends = [-1] if normalised else [0, -1]
            np.testing.assert_allclose(found["values"][-1][ends], expected[ends], rtol=1e-3)
    assert not any(p.grad is not None for p in model.parameters())


def test_no_direction_of_a_network_is_curved_more_than_the_ends_of_its_spectrum(batch):
    """A U-Net has too many weights for the whole matrix.

    But random directions lie between the two eigenvalues.
    """
    torch.manual_seed(0)
    model, weights = (
        build_model("unet-residual", num_classes=3, base_channels=2).eval(),
        torch.ones(3),
    )
    found = landscape.spectra(model, [batch], weights, MACHINE, 0)[0]
    image, target = as_image(batch[0]), batch[1].long()
    parameters = [weight for weight, _ in landscape.filters(model)]
    gradient = torch.autograd.grad(
        cross_entropy(model(image), target, weights), parameters, create_graph=True
    )
    generator = torch.Generator().manual_seed(5)
    for _ in range(5):
        direction = [torch.randn(p.shape, generator=generator) for p in parameters]
        product = torch.autograd.grad(gradient, parameters, direction, retain_graph=True)
        quotient = sum((d * p).sum() for d, p in zip(direction, product)) / sum(
            d.square().sum() for d in direction
        )
        assert found["values"][-1, 0] <= quotient.item() <= found["values"][-1, 1]


def test_lanczos_finds_a_known_spectrum_and_knows_how_far_off_it_is(monkeypatch):
    generator = torch.Generator().manual_seed(4)
    turned = torch.linalg.qr(torch.randn(200, 200, generator=generator))[0]
    spectrum = torch.cat(
        [torch.tensor([-5.0, -3.0, 40.0, 100.0]), torch.rand(196, generator=generator)]
    )
    matrix, start = turned @ torch.diag(spectrum) @ turned.T, torch.randn(200, generator=generator)
    found = landscape.lanczos(lambda v: matrix @ v, start)
    np.testing.assert_allclose(found["values"][-1], [-5, 100], rtol=5e-3)
    assert (np.abs(found["values"][-1] - [-5, 100]) <= found["residuals"] + 1e-4).all()
    assert (found["residuals"] <= landscape.TOLERANCE * np.abs(found["values"][-1])).all()
    largest = landscape.lanczos(lambda v: matrix @ v, start, ends=[-1])
    assert largest["values"][-1, 1] == pytest.approx(100, rel=5e-3)
    steps = [len(np.unique(each["values"][:, 1])) for each in (largest, found)]
    assert steps[0] < steps[1], "the smallest eigenvalue takes longer"
    monkeypatch.setattr(landscape, "STEPS", 3)
    stopped = landscape.lanczos(lambda v: matrix @ v, start)
    assert stopped["values"].shape == (3, 2) and stopped["residuals"][0] > landscape.TOLERANCE * 5


def test_slice_of_the_loss(batch):
    model, weights = (
        build_model("unet-residual", num_classes=3, base_channels=2).eval(),
        torch.ones(3),
    )
    before = [p.clone() for p in model.parameters()]
    losses = landscape.loss_slice(model, *batch, weights, MACHINE, 0)
    own = cross_entropy(model(as_image(batch[0])), batch[1].long(), weights).item()
    assert (
        losses.shape == (9, 9) and losses[4, 4] == pytest.approx(own, rel=1e-6) and losses.std() > 0
    )
    assert all(torch.equal(a, b) for a, b in zip(before, model.parameters()))
    for d, (weight, dims) in zip(
        landscape._direction(model, torch.Generator().manual_seed(0)), landscape.filters(model)
    ):
        torch.testing.assert_close(d.square().sum(dims), weight.detach().square().sum(dims))


@pytest.mark.parametrize(
    "variant", ["unet", "unet-residual", "unet-noskip", "unet-residual-noskip"]
)
def test_networks_without_normalisation_keep_the_scale_of_their_signals(variant):
    """Mean square of every block's output by that of its input, down to 1 x 2 cells.

    It is the geometric mean over seeds.
    """
    gains = []
    for seed in range(4):
        torch.manual_seed(seed)
        model = depth.without_normalisation(
            build_model(variant, num_classes=3, base_channels=16, depth=6)
        )
        assert not any(isinstance(m, nn.BatchNorm2d) for m in model.modules())
        own = []

        def measure(block, inputs, output):
            own.append((output.square().mean() / inputs[0].square().mean()).log().item())

        for block in (*model.encoder, *model.decoder):
            block.register_forward_hook(measure)
        with torch.no_grad():
            model(torch.randn(2, 3, 64, 128))
        gains.append(own)
    assert len(gains[0]) == 13
    gains = np.exp(np.mean(gains, 0))
    assert (0.5 < gains).all() and (gains < 2).all(), gains


def test_residual_networks_without_normalisation_start_from_the_losses_of_plain_ones(monkeypatch):
    """Unscaled sums started them from losses of up to 15 nats where plain ones have 3."""
    monkeypatch.setattr(depth, "NORMALISED", {False: "no normalisation"})
    first = {}
    for variant in ("unet", "unet-residual"):
        studied = [depth.depth_study(variant, 1, seed) for seed in range(2)]
        keys = [f"{levels}, no normalisation: loss" for levels in depth.DEPTHS]
        first[variant] = np.array([[found[key][0] for key in keys] for found in studied])
    assert first["unet"].mean() == pytest.approx(first["unet-residual"].mean(), rel=0.2)
    assert max(losses.max() for losses in first.values()) < 5  # ln 13 = 2.6


def test_depth_study():
    found = depth.depth_study("unet-gated-attention", 2, 0)
    assert len(found) == 6 * 6 and found["6, no normalisation: gradient"].shape == (2, 13)
    assert all(np.isfinite(found[key]).all() for key in found if not key.endswith("blocks"))
    assert found["4, batch normalisation: blocks"].tolist()[4:6] == ["encoder 4", "decoder 3"]
    again = depth.depth_study("unet-gated-attention", 2, 0)
    assert np.array_equal(
        found["5, batch normalisation: loss"], again["5, batch normalisation: loss"]
    )


def test_everything_on_record_once(tiny, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(Machine, "detect", classmethod(lambda cls: MACHINE))
    run = fit(tiny(variant="unet-gated-attention"), tmp_path)
    theory.study(run, 0, 1)
    assert not (run.folder / "studies.npz").exists()
    theory.study(run, 3, 1)
    found = run.studies
    assert found["names"].tolist() == run.image_names and found["conditions.names"][0] == "intact"
    assert found["conditions.confusions"].shape == (24, 3, 13, 13)
    assert (
        np.abs(found["conditions.confusions"][0] - run.per_image).sum() <= 4
    )  # batches round differently
    assert found["structure.boundary"].shape == (11, 3, 13, 2) and found[
        "structure.components"
    ].shape == (11, 3, 5, 4)
    assert np.array_equal(
        found["structure.boundary"][0].sum((0, 1)), run.structure["boundary"].sum((0, 1))
    )
    assert found["gates.classes"].shape == (3, 4, 13, 2) and found["gates.energy"].shape == (
        3,
        4,
        13,
        2,
    )
    assert found["gates.permuted_classes"].shape == (3, 4, 13, gates.PERMUTATIONS)
    for name in ("energy_detached", "energy_constant"):
        assert found[f"gates.{name}"].shape == (3, 4, 13, 2)
        assert not np.allclose(found[f"gates.{name}"], found["gates.energy"], atol=0)
    assert found["gates.energy_arriving"].shape == (3, 4, 13)
    assert found["landscape.eigenvalues"].shape == (2, landscape.STEPS, 2) and found[
        "landscape.residuals"
    ].shape == (2, 2)
    assert (
        np.abs(found["landscape.eigenvalues"]).max(-1) == np.abs(found["landscape.curvature"])
    ).all()
    assert found["probes.untrained_confusions"].shape == found["probes.confusions"].shape
    assert found["probes.untrained_edges"].shape == found["probes.edges"].shape
    small = found["matched.classes"]
    assert found["matched.counts"].shape == (3, len(small), 19, 7) and found[
        "matched.groups"
    ].tolist() == [0, 1, 2]
    true_pixels = found["matched.counts"][:, :, 5][..., [4, 6]].sum((0, 2))
    assert np.array_equal(true_pixels, run.confusion.sum(1)[small])
    written = (run.folder / "studies.npz").stat()
    assert written.st_size < 400_000
    theory.study(run, 3, 1)
    assert (run.folder / "studies.npz").stat().st_mtime_ns == written.st_mtime_ns
    write_arrays(
        run.folder / "studies.npz",
        **{key: array for key, array in found.items() if key != "edition"},
    )
    run = Run.read(run.folder)
    theory.study(run, 3, 1)  # of an older edition: made anew, to the same numbers
    assert run.studies["edition"] == theory.EDITION
    assert all(np.array_equal(run.studies[key], found[key]) for key in found if key != "seconds")
    with pytest.raises(
        ValueError, match="study_images = 1 of 3 test images: expected 0 or at least 2"
    ):
        theory.study(run, 1, 1)
    (run.folder / "weights.pt").unlink()
    capsys.readouterr()
    monkeypatch.setattr(theory, "EDITION", theory.EDITION + 1)
    theory.study(run, 3, 1)
    assert capsys.readouterr().out == ""  # it can be read, and nothing newer can be had
    theory.study(run, 2, 1)
    assert "no checkpoint" in capsys.readouterr().out and len(run.studies["names"]) == 3


def test_chosen_images_come_in_batches_that_can_exchange():
    class Data:
        images = targets = torch.arange(100)

        def __len__(self):
            return 100

    for number in (2, 8, 9, 17, 40, 300):
        batches = chosen(Data(), number)
        assert (
            min(len(images) for images, _ in batches) >= 2
            and max(len(images) for images, _ in batches) <= 8
        )
        assert sum(len(images) for images, _ in batches) == min(number, 100)


def test_the_command_studies_what_has_weights_and_names_the_rest(tiny, tmp_path, capsys):
    run = fit(tiny(epochs=1, test_images=4), tmp_path)
    options = ["--images", "3", "--steps", "1"]
    assert theory.main([str(tmp_path), *options]) == 0
    assert (
        len(Run.read(run.folder).studies["names"]) == 3
        and "unet/seed-0: studied" in capsys.readouterr().out
    )
    assert theory.main([str(tmp_path), "--seeds", "5", *options]) == 1
    (run.folder / "studies.npz").unlink()
    (run.folder / "weights.pt").unlink()
    assert theory.main([str(tmp_path), *options]) == 1
    assert "no weights.pt, so nothing can be measured" in capsys.readouterr().err
