"""The networks: one U-Net, with the block and the skip connection injected.

The frame is the U-Net of Ronneberger, Fischer and Brox (2015): blocks of two 3x3 convolutions on five levels, 2x2
max-pooling on the way down, 2x2 transposed convolutions on the way up, a 1x1 head. Departures from the paper, the
same for every variant: convolutions keep the size ("same" padding; the paper's shrink it and crop the skips), each
is followed by batch normalisation and therefore has no bias, and there is no dropout.

A variant is a pair (block, skip). `VARIANTS` holds the four of the study; `EXTRA` the two that complete blocks x skips,
a U-Net without skips that is widened to the parameters of the U-Net, and a U-Net with every other subset of the four
skips: `unet-skips-0110` has those of levels 1 and 2. `ResidualBlock` follows He et al. (2016) and
Zhang et al. (2018): the sum precedes the last activation, and the shortcut is a bare 1x1 convolution where the channels
differ, which is everywhere but in a decoder without skips. `AttentionSkip` follows Oktay et al. (2018), with their
code's 2x2 kernel of stride 2 for W_x; unlike them it gates the finest skip too, and it lets the gated features pass
without a further convolution.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from itertools import combinations, pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode


DEPTH = 4  # how often the resolution is halved between the input and the bottleneck


class DoubleConv(nn.Sequential):
    """Two 3x3 convolutions, each normalised and rectified: (B, in, H, W) -> (B, out, H, W)."""

    def __init__(self, in_channels: int, out_channels: int):
        super().__init__(
            nn.Conv2d(in_channels, out_channels, 3, padding=1, bias=False),
            nn.BatchNorm2d(out_channels),
            nn.ReLU(inplace=True),
            nn.Conv2d(out_channels, out_channels, 3, padding=1, bias=False),
            nn.BatchNorm2d(out_channels),
            nn.ReLU(inplace=True),
        )


class ResidualBlock(nn.Module):
    """`DoubleConv` whose input is added before the last activation: (B, in, H, W) -> (B, out, H, W)."""

    def __init__(self, in_channels: int, out_channels: int):
        super().__init__()
        *layers, self.activation = DoubleConv(in_channels, out_channels)
        self.residual = nn.Sequential(*layers)
        same = in_channels == out_channels
        self.shortcut = nn.Identity() if same else nn.Conv2d(in_channels, out_channels, 1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        return self.activation(self.residual(x) + self.shortcut(x))


class ConcatSkip(nn.Module):
    """The skip connection of the U-Net: every feature of the encoder crosses to the decoder."""

    def __init__(self, channels: int):
        super().__init__()
        self.out_channels = channels

    def forward(self, features: Tensor, gating: Tensor) -> Tensor:
        """features (B, C, H, W), gating (B, 2C, H/2, W/2) -> what crosses (B, out_channels, H, W)."""
        return features


class NoSkip(ConcatSkip):
    """Nothing crosses: a tensor of zero channels, so that the decoder sees only what the bottleneck passed on."""

    def __init__(self, channels: int):
        super().__init__(channels)
        self.out_channels = 0

    def forward(self, features: Tensor, gating: Tensor) -> Tensor:
        return features[:, :0]


class AttentionCoefficients(nn.Module):
    """The additive gate of Oktay et al. (2018), equation 1: alpha = sigmoid(psi(relu(W_x x + W_g g + b_g)) + b_psi)."""

    def __init__(self, channels: int):
        super().__init__()
        self.w_x = nn.Conv2d(channels, channels, 2, stride=2, bias=False)
        self.w_g = nn.Conv2d(2 * channels, channels, 1)
        self.psi = nn.Conv2d(channels, 1, 1)

    def forward(self, features: Tensor, gating: Tensor) -> Tensor:
        """features (B, C, H, W), gating (B, 2C, H/2, W/2) -> alpha in (0, 1), (B, 1, H, W)."""
        score = self.psi(F.relu(self.w_x(features) + self.w_g(gating)))  # (B, 1, H/2, W/2)
        return F.interpolate(torch.sigmoid(score), scale_factor=2, mode="bilinear", align_corners=False)


class AttentionSkip(ConcatSkip):
    """Every feature crosses, weighted by one coefficient a pixel that the coarser level decides."""

    def __init__(self, channels: int):
        super().__init__(channels)
        self.coefficients = AttentionCoefficients(channels)

    def forward(self, features: Tensor, gating: Tensor) -> Tensor:
        return features * self.coefficients(features, gating)


class UNet(nn.Module):
    """Encoder and decoder on `depth` + 1 levels, joined by one `skip` a level.

    Level 0 is the input resolution, level `depth` the bottleneck; level l has base_channels * 2**l channels.
    `skips`, `ups` and `decoder` are ordered by level too, finest first, so that index l means level l everywhere.
    """

    def __init__(self, block: type, skips: Sequence[type], in_channels: int, num_classes: int, base_channels: int):
        super().__init__()
        self.depth = len(skips)
        widths = [base_channels * 2**level for level in range(self.depth + 1)]
        self.encoder = nn.ModuleList(block(a, b) for a, b in pairwise([in_channels, *widths]))
        self.skips = nn.ModuleList(skip(width) for skip, width in zip(skips, widths))
        self.ups = nn.ModuleList(nn.ConvTranspose2d(2 * width, width, 2, stride=2) for width in widths[:-1])
        self.decoder = nn.ModuleList(
            block(skip.out_channels + width, width) for skip, width in zip(self.skips, widths)
        )
        self.head = nn.Conv2d(base_channels, num_classes, 1)

    def forward(self, image: Tensor) -> Tensor:
        """image (B, in_channels, H, W) -> logits (B, num_classes, H, W), for any H, W of at least 2**depth.

        Sizes that are no multiple of 2**depth (16) are padded by repeating the border, and the logits cropped back.
        """
        x, window = pad_to_multiple(image, 2**self.depth)
        features = []
        for level, block in enumerate(self.encoder):
            x = block(F.max_pool2d(x, 2) if level else x)  # (B, C * 2**level, H / 2**level, W / 2**level)
            features.append(x)
        for level in reversed(range(self.depth)):
            crossing = self.skips[level](features[level], x)  # the coarser level, x, is the gating signal
            x = self.decoder[level](join(crossing, self.ups[level](x)))
        return self.head(x)[window]


def join(crossing: Tensor, upsampled: Tensor) -> Tensor:
    """(B, C, H, W) and (B, D, H, W) -> (B, C + D, H, W).

    With nothing to join there is nothing to copy either: a concatenation with zero channels would return the tensor in
    another memory format, and every level above would pay for it.
    """
    if crossing.shape[1] == 0:
        return upsampled
    return torch.cat([crossing, upsampled], dim=1)


def pad_to_multiple(image: Tensor, multiple: int) -> tuple[Tensor, tuple]:
    """The image with sides rounded up to multiples, and the index that cuts the original window out again."""
    height, width = image.shape[-2:]
    if min(height, width) < multiple:
        raise ValueError(f"image of {height} x {width} pixels: the U-Net needs at least {multiple} x {multiple}")
    down, right = -height % multiple, -width % multiple
    top, left = down // 2, right // 2
    if down or right:
        image = F.pad(image, (left, right - left, top, down - top), mode="replicate")
    return image, (..., slice(top, top + height), slice(left, left + width))


@dataclass(frozen=True)
class Variant:
    """One network: how it is called, its block, its skip connection, its width in units of base_channels."""

    title: str
    block: type
    skip: type
    width: float = 1.0
    without: tuple[int, ...] = ()  # levels that have no skip connection all the same
    short: str = ""  # the name in a chart or a table's head; without one, the key's own words

    def skips(self, depth: int = DEPTH) -> list[type]:
        """The skip connection of every level, finest first."""
        return [NoSkip if level in self.without else self.skip for level in range(depth)]

    def channels(self, base_channels: int) -> int:
        """Channels of its finest level, in a study with that many base channels."""
        return round(base_channels * self.width)


# The parameters that grow with the square of the base channels c, nearly all: 9 c^2 in the first block, and for every
# c^2 of a level above the bottleneck 54 in the encoder's next block, 8 in the transposed convolution that leads up to
# it, and in its decoder block 27 with a skip or 18 without. Below ten base channels there is no whole channel to add.
_SQUARES = sum(4**level for level in range(DEPTH))
MATCHED = ((9 + 89 * _SQUARES) / (9 + 80 * _SQUARES)) ** 0.5  # without skips, this much wider has as many as U-Net

VARIANTS = {
    "unet": Variant("U-Net", DoubleConv, ConcatSkip, short="U-Net"),
    "unet-noskip": Variant("U-Net without skip connections", DoubleConv, NoSkip, short="no skips"),
    "unet-residual": Variant("Residual U-Net", ResidualBlock, ConcatSkip, short="residual"),
    "unet-gated-attention": Variant("Gated Attention U-Net", DoubleConv, AttentionSkip, short="gated"),
}
EXTRA = {
    "unet-residual-noskip": Variant(
        "Residual U-Net without skip connections", ResidualBlock, NoSkip, short="residual, none"),
    "unet-residual-gated-attention": Variant(
        "Residual Gated Attention U-Net", ResidualBlock, AttentionSkip, short="residual, gated"),
    "unet-noskip-wide": Variant(
        "Wider U-Net without skip connections", DoubleConv, NoSkip, MATCHED, short="no skips, wide"),
    "unet-noskip-finest": Variant(
        "U-Net without its finest skip connection", DoubleConv, ConcatSkip, without=(0,), short="no finest skip"),
}


def subset_name(levels: Collection[int]) -> str:
    """The network with skips at these levels alone: "unet-skips-0110" for levels 1 and 2, finest first."""
    if len(levels) == DEPTH:
        return "unet"
    if not levels:
        return "unet-noskip"
    return "unet-skips-" + "".join("1" if level in levels else "0" for level in range(DEPTH))


def _subset(levels: tuple[int, ...]) -> Variant:
    which = f"levels {' and '.join(map(str, levels))}" if len(levels) > 1 else f"level {levels[0]}"
    if len(levels) == 3:
        which = "levels {}, {} and {}".format(*levels)
    without = tuple(level for level in range(DEPTH) if level not in levels)
    return Variant(f"U-Net with skip connections at {which} only", DoubleConv, ConcatSkip, without=without)


SUBSETS = [levels for size in range(DEPTH + 1) for levels in combinations(range(DEPTH), size)]  # of the skips' levels
EXTRA |= {subset_name(levels): _subset(levels) for levels in SUBSETS if 0 < len(levels) < DEPTH}
NETWORKS = VARIANTS | EXTRA
TITLES = {key: variant.title for key, variant in NETWORKS.items()}


def short_name(variant: str) -> str:
    """Return a variant's name in a chart: its own, or the words of its key."""
    own = NETWORKS[variant].short if variant in NETWORKS else ""
    return own or variant.removeprefix("unet-").replace("-", " ")


SHORT = {key: short_name(key) for key in NETWORKS}


def build_model(variant: str, in_channels: int = 3, num_classes: int = 13, base_channels: int = 64,
                depth: int = DEPTH) -> UNet:
    """The network of that name, freshly initialised: image (B, in_channels, H, W) -> logits (B, num_classes, H, W).

    Raises ValueError for a variant that is not in `NETWORKS`.
    """
    if variant not in NETWORKS:
        raise ValueError(f"unknown variant {variant!r}: choose one of {', '.join(NETWORKS)}")
    entry = NETWORKS[variant]
    return UNet(entry.block, entry.skips(depth), in_channels, num_classes, entry.channels(base_channels))


def multiply_adds(model: nn.Module, image_size: tuple[int, int]) -> int:
    """Multiply-adds of one forward pass on an image (H, W) of three channels, as torch's own counter finds them."""
    device = next(model.parameters()).device
    with FlopCounterMode(display=False) as counter, torch.inference_mode():
        model(torch.zeros(1, 3, *image_size, device=device))
    return counter.get_total_flops() // 2


def attention_maps(model: UNet, image: Tensor) -> list[Tensor]:
    """The coefficients alpha of every gate during one forward pass, finest level first: (B, 1, H/2**l, W/2**l).

    Read where the forward pass computes them; empty for a network without gates. Sizes are those of the padded image.
    """
    gates = [module for module in model.skips.modules() if isinstance(module, AttentionCoefficients)]
    maps: list[Tensor] = []
    hooks = [gate.register_forward_hook(lambda gate, inputs, alpha: maps.append(alpha)) for gate in gates]
    try:
        model(image)
    finally:
        for hook in hooks:
            hook.remove()
    return maps[::-1]  # the decoder runs from coarse to fine
