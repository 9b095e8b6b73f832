"""The four networks: sizes, parameters, what crosses the U, what shortcuts add, what gates do."""

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lib import models
from lib.models import (
    EXTRA,
    NETWORKS,
    SUBSETS,
    TITLES,
    VARIANTS,
    AttentionSkip,
    ConcatSkip,
    DoubleConv,
    NoSkip,
    ResidualBlock,
    attention_maps,
    build_model,
    subset_name,
)

EVERY = pytest.mark.parametrize("variant", NETWORKS)


def network(variant: str, seed: int = 0, **changes) -> nn.Module:
    """A small network in evaluation mode."""
    torch.manual_seed(seed)
    return build_model(variant, **{"num_classes": 5, "base_channels": 4} | changes).eval()


def picture(*size: int, batch: int = 2, channels: int = 3) -> Tensor:
    return torch.randn(batch, channels, *size, generator=torch.Generator().manual_seed(1))


def test_the_table_of_variants():
    assert {key: TITLES[key] for key in VARIANTS} == {
        "unet": "U-Net",
        "unet-noskip": "U-Net without skip connections",
        "unet-residual": "Residual U-Net",
        "unet-gated-attention": "Gated Attention U-Net",
    }
    assert list(TITLES) == list(NETWORKS) == [*VARIANTS, *EXTRA]
    assert len(set(TITLES.values())) == len(TITLES) == 7 + 14


def test_every_subset_of_the_skips_is_a_network():
    names = [subset_name(levels) for levels in SUBSETS]
    assert len(set(names)) == 16 and names[0] == "unet-noskip" and names[-1] == "unet"
    entry = NETWORKS["unet-skips-0110"]
    assert entry.skips() == [NoSkip, ConcatSkip, ConcatSkip, NoSkip]
    assert entry.title == "U-Net with skip connections at levels 1 and 2 only"
    assert NETWORKS["unet-skips-0001"].title == "U-Net with skip connections at level 3 only"
    assert (
        NETWORKS["unet-skips-1101"].title == "U-Net with skip connections at levels 0, 1 and 3 only"
    )


def test_blocks_and_skips_are_combined_in_every_way_and_one_is_a_control():
    cells = [
        (entry.block, entry.skip)
        for entry in NETWORKS.values()
        if not entry.matched and not entry.without
    ]
    assert len(cells) == 6 and set(cells) == {
        (block, skip)
        for block in (DoubleConv, ResidualBlock)
        for skip in (NoSkip, ConcatSkip, AttentionSkip)
    }
    assert [key for key, entry in NETWORKS.items() if entry.matched] == ["unet-noskip-wide"]
    assert NETWORKS["unet-skips-0111"].without == (0,)
    assert NETWORKS["unet-skips-0111"].skips(3) == [NoSkip, ConcatSkip, ConcatSkip]


def number(variant: str, base_channels: int) -> int:
    with torch.device("meta"):
        return sum(
            p.numel() for p in build_model(variant, base_channels=base_channels).parameters()
        )


@pytest.mark.parametrize(
    "variant, parameters", zip(VARIANTS, (31_038_413, 27_904_973, 32_431_245, 33_129_297))
)
def test_parameters_at_full_width(variant, parameters):
    assert number(variant, 64) == parameters


@pytest.mark.parametrize(
    "base_channels, widths, more",
    [(16, [16, 32, 64, 136, 272], -0.0006), (64, [64, 136, 272, 544, 1072], 0.0005)],
)
def test_the_wide_control_has_the_parameters_of_the_unet(base_channels, widths, more):
    assert NETWORKS["unet-noskip-wide"].widths(base_channels) == widths
    wanted, wide = number("unet", base_channels), number("unet-noskip-wide", base_channels)
    assert wide / wanted - 1 == pytest.approx(more, abs=5e-5)


def test_a_block_whose_last_layer_is_no_activation_makes_no_residual_block(monkeypatch):
    monkeypatch.setattr(
        models,
        "DoubleConv",
        lambda *channels: nn.Sequential(DoubleConv(*channels), nn.Dropout(0.1)),
    )
    with pytest.raises(TypeError, match="DoubleConv ends in Dropout.*expected the activation"):
        ResidualBlock(3, 4)


@EVERY
@pytest.mark.parametrize("size", [(16, 16), (17, 31), (33, 100), (45, 64), (360, 480)])
def test_logits_have_the_size_of_the_image(variant, size):
    logits = network(variant)(picture(*size, batch=1))
    assert logits.shape == (1, 5, *size)
    assert logits.isfinite().all()


@EVERY
def test_channels_in_and_classes_out(variant):
    assert network(variant, in_channels=1, num_classes=2)(picture(32, 48, channels=1)).shape == (
        2,
        2,
        32,
        48,
    )


@EVERY
@pytest.mark.parametrize("size", [(15, 16), (16, 15), (8, 400)])
def test_an_image_below_16_pixels_is_refused(variant, size):
    with pytest.raises(
        ValueError, match=f"image of {size[0]} x {size[1]} pixels.*at least 16 x 16"
    ):
        network(variant)(picture(*size))


def test_an_unknown_variant_is_refused_by_name():
    with pytest.raises(
        ValueError, match="unknown variant 'resunet': choose one of unet, unet-noskip"
    ):
        build_model("resunet")


@EVERY
@pytest.mark.parametrize("size, border", [((32, 48), (0, 0, 0, 0)), ((27, 45), (1, 2, 2, 3))])
def test_padding_repeats_the_border_evenly_and_only_where_needed(variant, size, border):
    model, image = network(variant), picture(*size)
    padded = F.pad(image, border, mode="replicate")
    seen = []
    model.encoder[0].register_forward_pre_hook(lambda module, inputs: seen.append(inputs[0]))
    logits = model(image)
    torch.testing.assert_close(seen[0], padded, rtol=0, atol=0)
    left, _, top, _ = border
    window = model(padded)[..., top : top + size[0], left : left + size[1]]
    torch.testing.assert_close(logits, window, rtol=0, atol=0)


@EVERY
def test_levels_have_their_widths_and_halve_sides(variant):
    model, shapes = network(variant), []
    for block in model.encoder:
        block.register_forward_hook(
            lambda module, inputs, output: shapes.append(tuple(output.shape[1:]))
        )
    model(picture(64, 32))
    widths = NETWORKS[variant].widths(4)
    assert shapes == [(widths[level], 64 // 2**level, 32 // 2**level) for level in range(5)]


@EVERY
def test_every_parameter_learns(variant):
    model = network(variant).train()
    model(picture(48, 48)).square().mean().backward()
    assert [
        name for name, p in model.named_parameters() if p.grad is None or not p.grad.abs().sum() > 0
    ] == []


@EVERY
def test_equal_seeds_give_equal_networks(variant):
    first, again, other = (network(variant, seed).state_dict() for seed in (3, 3, 4))
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert not all(torch.equal(first[name], other[name]) for name in first)


@EVERY
def test_channels_last_changes_nothing(variant):
    model, image = network(variant), picture(32, 48)
    expected = model(image)
    found = model.to(memory_format=torch.channels_last)(image.to(memory_format=torch.channels_last))
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)


# What crosses the U


def altered_at(model: nn.Module, level: int, image: Tensor) -> Tensor:
    """The logits when the skip of that level is handed noise instead of the encoder's features."""

    def noise(skip, inputs):
        return torch.randn_like(inputs[0]), inputs[1]

    handle = model.skips[level].register_forward_pre_hook(noise)
    logits = model(image)
    handle.remove()
    return logits


@EVERY
@pytest.mark.parametrize("level", range(4))
def test_what_the_skip_is_given_matters_unless_nothing_crosses(variant, level):
    model, image = network(variant), picture(32, 48)
    changed = not torch.equal(altered_at(model, level, image), model(image))
    assert changed == (NETWORKS[variant].skips()[level] is not NoSkip)


@EVERY
def test_without_skips_every_gradient_passes_the_bottleneck(variant):
    model, image = network(variant), picture(32, 48).requires_grad_()
    model.encoder[-1].register_forward_hook(lambda module, inputs, output: output.detach())
    model(image).square().sum().backward()
    reached = image.grad is not None and bool(image.grad.any())
    assert reached == (NETWORKS[variant].skip is not NoSkip)


def test_nothing_that_crosses_has_no_channels():
    assert NoSkip(8)(picture(16, 16, channels=8), picture(8, 8, channels=16)).shape == (
        2,
        0,
        16,
        16,
    )


# The residual shortcut


@pytest.mark.parametrize("channels", [(3, 8), (8, 8)])
def test_a_residual_block_adds_its_shortcut_before_the_activation(channels):
    torch.manual_seed(0)
    block, x = ResidualBlock(*channels), picture(12, 10, channels=channels[0])
    torch.testing.assert_close(block(x), F.relu(block.residual(x) + block.shortcut(x)))
    assert isinstance(block.shortcut, nn.Identity) == (channels[0] == channels[1])
    assert (block.residual(x) < 0).any()  # no activation before the sum


@pytest.mark.parametrize("channels", [(3, 8), (8, 8)])
def test_without_its_convolutions_a_residual_block_is_its_shortcut(channels):
    block, x = ResidualBlock(*channels), picture(12, 10, channels=channels[0])
    for weight in block.residual.parameters():
        nn.init.zeros_(weight)
    torch.testing.assert_close(block(x), F.relu(block.shortcut(x)))


def test_without_its_shortcut_a_residual_block_is_a_double_convolution():
    torch.manual_seed(0)
    residual, plain, x = ResidualBlock(3, 8), DoubleConv(3, 8), picture(12, 10)
    plain.load_state_dict(residual.residual.state_dict())
    nn.init.zeros_(residual.shortcut.weight)
    torch.testing.assert_close(residual(x), plain(x))


# The gates


def test_attention_maps_have_one_coefficient_a_pixel_at_every_level():
    maps = attention_maps(network("unet-gated-attention"), picture(48, 33))
    assert [tuple(alpha.shape) for alpha in maps] == [
        (2, 1, 48, 48),
        (2, 1, 24, 24),
        (2, 1, 12, 12),
        (2, 1, 6, 6),
    ]
    assert all(((alpha > 0) & (alpha < 1)).all() and alpha.std() > 0 for alpha in maps)


@pytest.mark.parametrize("variant", ["unet", "unet-noskip", "unet-residual"])
def test_a_network_without_gates_has_no_attention_maps(variant):
    assert attention_maps(network(variant), picture(32, 32)) == []


def test_attention_maps_are_what_the_forward_pass_multiplies_with():
    model, image, crossings = network("unet-gated-attention"), picture(32, 48), []
    handles = [
        skip.register_forward_hook(
            lambda skip, inputs, output: crossings.append((inputs[0], output))
        )
        for skip in model.skips
    ]
    maps = attention_maps(model, image)
    for alpha, (features, crossing) in zip(maps[::-1], crossings, strict=True):
        torch.testing.assert_close(crossing, features * alpha, rtol=0, atol=0)
    for handle in handles:
        handle.remove()
    assert not any(
        module._forward_hooks for module in model.modules()
    )  # reading the maps leaves no hook behind


def test_a_gate_follows_the_formula():
    torch.manual_seed(0)
    gate = AttentionSkip(4).coefficients
    x, g = picture(6, 8, channels=4), picture(3, 4, channels=8)
    pooled = torch.einsum(
        "oiyx,bihywx->bohw", gate.w_x.weight, x.unflatten(2, (3, 2)).unflatten(4, (4, 2))
    )
    gating = (
        torch.einsum("oi,bihw->bohw", gate.w_g.weight[..., 0, 0], g) + gate.w_g.bias[:, None, None]
    )
    score = (
        torch.einsum("oi,bihw->bohw", gate.psi.weight[..., 0, 0], (pooled + gating).relu())
        + gate.psi.bias
    )
    rows, columns = (torch.arange(2 * side) for side in (3, 4))
    expected = score.sigmoid()
    for axis, index, side in (
        (2, rows, 3),
        (3, columns, 4),
    ):  # bilinear: 3/4 of the own cell, 1/4 of the nearer other
        own, other = index // 2, (index // 2 + 2 * (index % 2) - 1).clamp(0, side - 1)
        expected = 0.75 * expected.index_select(axis, own) + 0.25 * expected.index_select(
            axis, other
        )
    torch.testing.assert_close(gate(x, g), expected)


def test_open_gates_make_a_plain_unet():
    plain, gated, image = network("unet"), network("unet-gated-attention", seed=5), picture(35, 48)
    gated.load_state_dict(plain.state_dict(), strict=False)
    assert not torch.allclose(gated(image), plain(image), rtol=1e-3)
    for skip in gated.skips:
        nn.init.constant_(skip.coefficients.psi.bias, 50.0)
    torch.testing.assert_close(gated(image), plain(image))


def test_closed_gates_hand_over_nothing():
    model, image, outputs = network("unet-gated-attention"), picture(32, 48), []
    for skip in model.skips:
        nn.init.constant_(skip.coefficients.psi.bias, -200.0)
        skip.register_forward_hook(lambda skip, inputs, output: outputs.append(output))
    model(image)
    assert all(torch.count_nonzero(output) == 0 for output in outputs)
