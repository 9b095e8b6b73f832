"""The closed forms against the built models, torch's counters and autograd."""

from dataclasses import astuple

import pandas as pd
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from lib import models
from lib.models import NETWORKS, VARIANTS, build_model
from report.evidence import closed_forms as theory
from report.evidence.closed_forms import Cost

EVERY = pytest.mark.parametrize("variant", NETWORKS)


@pytest.fixture(params=[2, 4, 5])
def depth(request) -> int:
    """Networks of another depth than the study's too."""
    return request.param


@EVERY
@pytest.mark.parametrize("base, classes, channels", [(3, 2, 3), (4, 13, 1), (10, 11, 4)])
def test_parameters_are_those_of_the_built_model(variant, base, classes, channels, depth):
    model = build_model(variant, channels, classes, base, depth)
    assert theory.parameters(variant, base, classes, channels, depth) == sum(p.numel() for p in model.parameters())


@EVERY
@pytest.mark.parametrize("size", [(32, 32), (45, 80), (97, 33)])
def test_multiply_adds_are_those_of_torchs_counter(variant, size, depth):
    model = build_model(variant, num_classes=5, base_channels=10, depth=depth).eval()
    assert theory.cost(variant, 10, 5, size, depth=depth) == theory.multiply_adds(model, size)


@EVERY
@pytest.mark.parametrize("size", [(32, 64), (48, 33)])
def test_kept_bytes_are_those_of_autograd(variant, size, depth):
    model, kept = build_model(variant, num_classes=5, base_channels=10, depth=depth), {}

    def keep(tensor):
        if tensor.ndim == 4 and not isinstance(tensor, nn.Parameter):  # maps, without weights and statistics
            kept[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        logits = model(torch.zeros(1, 3, *size))
    assert theory.total(variant, 10, 5, size, depth=depth).kept == sum(kept.values())
    assert logits.shape == (1, 5, *size)


@EVERY
def test_shapes_are_those_of_the_built_model(variant):
    model, shapes = build_model(variant, num_classes=5, base_channels=10).eval(), {}
    named = {f"{name} {level}": module for name in ("encoder", "skip", "up", "decoder")
             for level, module in enumerate(getattr(model, {"skip": "skips", "up": "ups"}.get(name, name)))}
    named = {("bottleneck" if name == "encoder 4" else name): module for name, module in named.items()} | {
        "head": model.head}
    for name, module in named.items():
        module.register_forward_hook(lambda m, i, out, name=name: shapes.update({name: tuple(out.shape[1:])}))
    model(torch.zeros(1, 3, 40, 64))
    assert {part.name: part.shape for part in theory.parts(variant, 10, 5, (40, 64))} == shapes


@pytest.mark.parametrize("c, k, depth", [(64, 13, 4), (5, 3, 2), (16, 11, 6)])
def test_the_polynomials_of_the_chapter(c, k, depth):
    pixels, deep, wide, fine = 128 * 64, 4**depth - 1, 2**depth - 1, 1 - 2**-depth
    expected = {
        "unet": (9 * c**2 + 89 * deep * c**2 // 3 + (31 + 13 * wide + k) * c + k, 9 + 42.5 * depth, 17.5),
        "unet-noskip": (9 * c**2 + 80 * deep * c**2 // 3 + (31 + 13 * wide + k) * c + k, 9 + 33.5 * depth, 15.5),
    }
    for variant, (parameters, arithmetic, maps) in expected.items():
        found = theory.total(variant, c, k, (128, 64), depth=depth)
        assert found == Cost(parameters, (arithmetic * c**2 + (27 + k) * c) * pixels,
                             4 * pixels * (3 + c * (4 + maps * fine)))
    plain = theory.parameters("unet", c, k, depth=depth)
    assert theory.parameters("unet-residual", c, k, depth=depth) - plain == 4 * deep * c**2 // 3 + 3 * c
    assert theory.parameters("unet-gated-attention", c, k, depth=depth) - plain == (
        2 * deep * c**2 + 2 * wide * c + depth)


def test_tables_add_up():
    table = theory.level_table("unet", 64, 13, (256, 256))
    *parts, total = table["Parameters"]
    assert total == sum(parts) == 31_038_413
    assert table["Output (C × H × W)"].iloc[[0, 4, -1]].tolist() == [
        "64 × 256 × 256", "1024 × 16 × 16", "13 × 256 × 256"]
    levels = theory.level_costs("unet", 64, 13, (256, 256))
    assert levels.level.tolist() == [0, 1, 2, 3, 4]
    assert tuple(levels.drop(columns="level").sum()) == astuple(theory.total("unet"))


def test_summary_counts_what_it_derives():
    table = theory.summary(8, 11, (60, 80))
    assert table.variant.tolist() == list(VARIANTS)
    pd.testing.assert_series_equal(table.parameters, table.counted_parameters, check_names=False)
    pd.testing.assert_series_equal(table.multiply_adds, table.counted_multiply_adds, check_names=False)


@pytest.fixture
def transparent(monkeypatch):
    """Builds networks in which every path from image to logits carries a positive gradient."""
    monkeypatch.setattr(F, "max_pool2d", F.avg_pool2d)  # the maximum would block three pixels of four

    def build(variant: str) -> models.UNet:
        model = build_model(variant, num_classes=2, base_channels=1).double().eval()
        for weight in model.parameters():
            # Small enough that no gate is shut or open to the last digit, which would hold its gradient back.
            nn.init.constant_(weight, 0.25 / weight[0].numel() if weight.ndim == 4 else 1.0)
        return model

    return build


def supports(part: nn.Module, model: nn.Module, shifts: range) -> list[int]:
    """Sides of the boxes of pixels that outputs of `part`, shifted from its centre, depend on."""
    image, outputs = torch.ones(1, 3, 272, 272, dtype=torch.double, requires_grad=True), []
    handle = part.register_forward_hook(lambda module, inputs, output: outputs.append(output[0, 0]))
    model(image)
    handle.remove()
    sides, centre = [], len(outputs[0]) // 2
    for shift in shifts:
        (gradient,) = torch.autograd.grad(outputs[0][centre + shift, centre - shift], image, retain_graph=True)
        where = gradient[0, 0].nonzero()
        box = where.max(0).values - where.min(0).values + 1
        assert len(where) == box.prod()  # a full rectangle, without holes
        sides += box.tolist()
    return sides


@EVERY
def test_receptive_field_is_the_support_of_the_gradient(variant, transparent):
    model, field = transparent(variant), theory.receptive_field(variant).set_index("part")
    for level, block in enumerate(model.encoder):
        assert set(supports(block, model, range(1))) == {9 * 2**level - 4} == set(field.iloc[level])
    for level, block in enumerate(model.decoder):
        sides = supports(block, model, range(2 ** (4 - level)))
        assert (min(sides), max(sides)) == tuple(field.loc[f"decoder {level}"])


@EVERY
def test_shortest_path_is_that_of_the_autograd_graph(variant):
    model, features = build_model(variant, num_classes=2, base_channels=2), []
    for block in model.encoder:
        block.register_forward_hook(lambda module, inputs, output: features.append(output.grad_fn))
    logits = model(torch.zeros(2, 3, 32, 32))
    distance, queue = {logits.grad_fn: 0}, [logits.grad_fn]
    for node in queue:  # breadth first, revisiting what turns out to be nearer
        length = distance[node] + (node.name() == "ConvolutionBackward0")
        for following, _ in node.next_functions:
            nothing = node.name().startswith("Cat") and following.name().startswith("Slice")  # NoSkip's no channels
            if following is not None and not nothing and length < distance.get(following, 10**9):
                distance[following] = length
                queue.append(following)
    assert [theory.shortest_path(variant, level) for level in range(5)] == [distance[node] for node in features]


def test_the_gates_gradient_of_the_chapter():
    generator = torch.Generator().manual_seed(0)
    (w_x, w_g), bias, psi = torch.randn(2, 6, 6, generator=generator), *torch.randn(2, 6, generator=generator)
    x, g, delta = torch.randn(3, 6, generator=generator)
    x, g = x.requires_grad_(), g.requires_grad_()
    hidden = w_x @ x + w_g @ g + bias
    alpha = torch.sigmoid(psi @ hidden.relu())
    (alpha * x).backward(delta)
    back = alpha * (1 - alpha) * (delta @ x) * ((hidden > 0) * psi)
    torch.testing.assert_close(x.grad, alpha * delta + w_x.T @ back)
    torch.testing.assert_close(g.grad, w_g.T @ back)
    bound = alpha * delta.norm() * (1 + (1 - alpha) * x.norm() * torch.linalg.matrix_norm(w_x, 2) * psi.norm())
    assert x.grad.norm() <= bound
