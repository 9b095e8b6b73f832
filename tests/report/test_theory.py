"""The closed forms against the built models, torch's counters and autograd."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from lib import models
from lib.models import NETWORKS, VARIANTS, build_model
from lib.studies.depth import KEEPING
from report.evidence import closed_forms as theory
from report.evidence.closed_forms import Cost

EVERY = pytest.mark.parametrize("variant", NETWORKS)


@pytest.fixture(params=[2, 4, 5])
def depth(request) -> int:
    """Networks of another depth than the study's too."""
    return request.param


@pytest.mark.parametrize(
    "variant", [*VARIANTS, "unet-residual-noskip", "unet-noskip-wide", "unet-skips-0110"]
)
@pytest.mark.parametrize("size", [(32, 64), (45, 80)])
def test_counts_are_those_of_the_built_model(variant, size, depth):
    model, kept = build_model(variant, num_classes=5, base_channels=10, depth=depth), {}

    def keep(tensor):
        if tensor.ndim == 4 and not isinstance(
            tensor, nn.Parameter
        ):  # maps, without weights and statistics
            kept[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        logits = model(torch.zeros(1, 3, *size))
    assert theory.total_cost(variant, 10, 5, size, depth=depth) == Cost(
        sum(p.numel() for p in model.parameters()),
        models.multiply_adds(model.eval(), size),
        sum(kept.values()),
    )
    assert logits.shape == (1, 5, *size)


@EVERY
def test_shapes_are_those_of_the_built_model(variant):
    model, shapes = build_model(variant, num_classes=5, base_channels=10).eval(), {}
    named = {
        f"{name} {level}": module
        for name in ("encoder", "skip", "up", "decoder")
        for level, module in enumerate(
            getattr(model, {"skip": "skips", "up": "ups"}.get(name, name))
        )
    }
    named = {
        ("bottleneck" if name == "encoder 4" else name): module for name, module in named.items()
    } | {"head": model.head}
    for name, module in named.items():
        module.register_forward_hook(
            lambda m, i, out, name=name: shapes.update({name: tuple(out.shape[1:])})
        )
    model(torch.zeros(1, 3, 40, 64))
    assert {part.name: part.shape for part in theory.parts_of(variant, 10, 5, (40, 64))} == shapes


def formulas(variant: str, c: int, classes: int, pixels: int, depth: int) -> Cost:
    """The cost by the chapter's equations: c base channels, an image of that many pixels."""
    squares, halves = 4**depth - 1, 1 - 2.0**-depth
    weights = (9 + 89 * squares / 3) * c**2 + (13 * 2**depth + 18 + classes) * c + classes
    work = (9 + 42.5 * depth) * c**2 + (27 + classes) * c
    maps = 3 + c * (4 + 17.5 * halves)
    if variant == "unet-noskip":
        weights -= 3 * squares * c**2
        work -= 9 * depth * c**2
        maps -= 2 * c * halves
    elif variant == "unet-residual":
        weights += 4 * squares * c**2 / 3 + 3 * c
        work += 2.5 * depth * c**2 + 3 * c
    elif variant == "unet-gated-attention":
        weights += 2 * squares * c**2 + 2 * (2**depth - 1) * c + depth
        work += 1.5 * depth * c**2 + c * halves / 2
        maps += c * halves / 2 + 5 * (1 - 4.0**-depth) / 3
    return Cost(round(weights), round(work * pixels), round(4 * maps * pixels))


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("c, k, depth", [(64, 13, 4), (5, 3, 2), (16, 11, 5)])
def test_the_formulas_of_the_chapter(variant, c, k, depth):
    assert formulas(variant, c, k, 128 * 64, depth) == theory.total_cost(
        variant, c, k, (128, 64), depth=depth
    )


@pytest.mark.parametrize("c, depth", [(64, 4), (16, 4), (3, 2)])
def test_bits_lost_by_pooling(c, depth, monkeypatch):
    """Each maximum that a built network takes was one of four: two bits."""
    pooled, pool = [], F.max_pool2d
    monkeypatch.setattr(F, "max_pool2d", lambda x, size: pooled.append(pool(x, size)) or pooled[-1])
    with torch.device("meta"):
        model, images = build_model("unet", base_channels=c, depth=depth), torch.empty(2, 3, 64, 32)
    model(images)
    assert theory.bits_lost(c, depth) == sum(2 * maps.numel() for maps in pooled) / (2 * 64 * 32)


def test_tables_add_up():
    table = theory.level_table("unet", 64, 13, (256, 256))
    *parts, total = table["Parameters"]
    assert total == sum(parts) == 31_038_413
    assert table["Output (C × H × W)"].iloc[[0, 4, -1]].tolist() == [
        "64 × 256 × 256",
        "1024 × 16 × 16",
        "13 × 256 × 256",
    ]
    assert theory.total_cost("unet").parameters == total


@pytest.fixture
def transparent(monkeypatch):
    """Builds networks in which every path from image to logits carries a positive gradient."""
    monkeypatch.setattr(
        F, "max_pool2d", F.avg_pool2d
    )  # the maximum would block three pixels of four

    def build(variant: str) -> models.UNet:
        model = build_model(variant, num_classes=2, base_channels=1).double().eval()
        for weight in model.parameters():
            # Small enough that no gate is shut or open to the last digit, which would hold its
            # gradient back.
            nn.init.constant_(weight, 0.25 / weight[0].numel() if weight.ndim == 4 else 1.0)
        return model

    return build


def supports(part: nn.Module, model: nn.Module) -> set[int]:
    """Sides of the box of pixels that the central output of `part` depends on."""
    image, outputs = torch.ones(1, 3, 272, 272, dtype=torch.double, requires_grad=True), []
    handle = part.register_forward_hook(lambda module, inputs, output: outputs.append(output[0, 0]))
    model(image)
    handle.remove()
    centre = len(outputs[0]) // 2
    (gradient,) = torch.autograd.grad(outputs[0][centre, centre], image)
    where = gradient[0, 0].nonzero()
    box = where.max(0).values - where.min(0).values + 1
    assert len(where) == box.prod()  # a full rectangle, without holes
    return set(box.tolist())


@EVERY
def test_receptive_fields_are_the_support_of_the_gradient(variant, transparent):
    model, fields = transparent(variant), theory.receptive_fields(variant)
    for level, block in enumerate(model.encoder):
        assert supports(block, model) == {9 * 2**level - 4} == {fields[level]}


@pytest.mark.parametrize("depth", [2, 4, 6])
def test_shortest_paths_are_those_of_the_chapter(depth):
    levels = range(depth)
    assert theory.shortest_paths("unet", depth)[:-1] == [3 * level + 3 for level in levels]
    assert theory.shortest_paths("unet-gated-attention", depth) == theory.shortest_paths(
        "unet", depth
    )
    assert theory.shortest_paths("unet-noskip", depth)[:-1] == [
        5 * depth + 1 - 2 * level for level in levels
    ]
    assert theory.shortest_paths("unet-residual", depth)[:-1] == [2 * level + 2 for level in levels]
    assert (
        theory.shortest_paths("unet", depth)[-1]
        == theory.shortest_paths("unet-noskip", depth)[-1]
        == 3 * depth + 1
    )


def gate_and_gradients(seed: int) -> tuple:
    """A gate of three channels on 8 x 8 pixels.

    With it: its input, the error at its output, and autograd's gradient.
    """
    generator = torch.Generator().manual_seed(seed)
    skip = models.AttentionSkip(3).double()
    for weight in skip.parameters():
        torch.nn.init.normal_(weight, std=0.7, generator=generator)
    x = torch.randn(1, 3, 8, 8, generator=generator, dtype=torch.double).requires_grad_()
    g = torch.randn(1, 6, 4, 4, generator=generator, dtype=torch.double)
    delta = torch.randn(1, 3, 8, 8, generator=generator, dtype=torch.double)
    skip(x, g).backward(delta)
    return skip.coefficients, x.detach(), g, delta, x.grad


def test_the_gates_gradient_of_the_chapter():
    """The equation term by term against the built gate's autograd.

    The interpolation is a matrix.
    """
    gate, x, g, delta, gradient = gate_and_gradients(0)
    hidden = gate.w_x(x) + gate.w_g(g)
    cells = torch.sigmoid(gate.psi(hidden.relu()))  # a_j
    unit = torch.eye(16, dtype=torch.double).view(16, 1, 4, 4)
    matrix = (
        F.interpolate(unit, scale_factor=2, mode="bilinear", align_corners=False).view(16, 64).T
    )  # I_ij
    alpha = (matrix @ cells.flatten()).view(8, 8)
    error = (matrix.T @ (delta * x).sum(1).flatten()).view(
        4, 4
    )  # the sum over the pixels that read the cell
    back = (cells * (1 - cells))[0, 0] * error * (hidden[0] > 0) * gate.psi.weight[0]  # (3, 4, 4)
    expected = alpha * delta[0]
    for row in range(8):
        for column in range(8):
            weights = gate.w_x.weight[:, :, row % 2, column % 2]  # W_i
            expected[:, row, column] += weights.T @ back[:, row // 2, column // 2]
    torch.testing.assert_close(gradient[0], expected)
    assert ((matrix > 0).sum(0).view(4, 4)[1:3, 1:3] == 16).all()  # 4 x 4 pixels read an inner cell


def test_a_neighbour_s_error_reaches_a_pixel_whose_own_is_zero():
    gate, x, g, delta, _ = gate_and_gradients(0)
    x, delta = x.requires_grad_(), torch.zeros_like(delta)
    delta[..., 2, 2] = 1.0  # reads the cells of rows and columns 0 to 3
    (x * gate(x, g)).backward(delta)
    assert x.grad[0, :, 0, 0].abs().max() > 0  # of another cell
    assert x.grad[0, :, 7, 7].abs().max() == 0  # too far away


def test_a_residual_sum_doubles_the_variance():
    """Of branch and shortcut with He's initial weights and no normalisation.

    The factor 1 / sqrt 2 undoes it.
    """
    torch.manual_seed(0)
    x = torch.randn(64, 32, 16, 16)
    branch, shortcut = (
        torch.nn.Conv2d(32, 64, 3, padding=1, bias=False),
        torch.nn.Conv2d(32, 64, 1, bias=False),
    )
    for layer in (branch, shortcut):
        torch.nn.init.normal_(layer.weight, std=(layer.weight[0].numel()) ** -0.5)
    with torch.inference_mode():
        total = (branch(x) + shortcut(x))[..., 1:-1, 1:-1]
    assert float(total.var()) == pytest.approx(2 * float(x.var()), rel=0.05)
    assert float((KEEPING * total).var()) == pytest.approx(float(x.var()), rel=0.05)
