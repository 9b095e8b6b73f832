"""The networks: one U-Net, with the block and the skip connection injected.

The frame is the U-Net of Ronneberger, Fischer and Brox (2015): blocks of two 3x3 convolutions on
five levels, 2x2 max-pooling on the way down, 2x2 transposed convolutions on the way up, a 1x1
head. Departures: convolutions keep the size (the paper's shrink it and crop the skips), each is
followed by batch normalisation and has no bias, and there is no dropout.

A variant is a pair (block, skip): `VARIANTS` are the four of the study, `EXTRA` complete blocks x
skips and add controls. `ResidualBlock` follows He et al. (2016): the sum precedes the last
activation, and the shortcut is a bare 1x1 convolution where the channels differ (Zhang et al.,
2018, activate before the convolutions instead). `AttentionSkip` follows Oktay et al. (2018), with
their code's 2x2 kernel of stride 2 for W_x; it gates the finest skip too, and the gated features
pass without a further convolution.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import combinations, pairwise, product

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
    """`DoubleConv` whose input is added before the last activation, with the same shapes."""

    def __init__(self, in_channels: int, out_channels: int):
        super().__init__()
        *layers, self.activation = DoubleConv(in_channels, out_channels)
        if not isinstance(self.activation, nn.ReLU):
            raise TypeError(
                f"DoubleConv ends in {self.activation}: expected the activation that ResidualBlock "
                "moves behind its sum; put other layers before it")
        self.residual = nn.Sequential(*layers)
        self.shortcut = nn.Identity()
        if in_channels != out_channels:
            self.shortcut = nn.Conv2d(in_channels, out_channels, 1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        return self.activation(self.residual(x) + self.shortcut(x))


class ConcatSkip(nn.Module):
    """The skip connection of the U-Net: every feature of the encoder crosses to the decoder."""

    def __init__(self, channels: int):
        super().__init__()
        self.out_channels = channels

    def forward(self, features: Tensor, gating: Tensor) -> Tensor:
        """features (B, C, H, W), gating (B, 2C, H/2, W/2) -> (B, out_channels, H, W)."""
        return features


class NoSkip(ConcatSkip):
    """Nothing crosses, a tensor of zero channels: the decoder sees only the bottleneck's output."""

    def __init__(self, channels: int):
        super().__init__(0)

    def forward(self, features: Tensor, gating: Tensor) -> Tensor:
        return features[:, :0]


class AttentionCoefficients(nn.Module):
    """The gate of Oktay et al.: alpha = sigmoid(psi(relu(W_x x + W_g g + b_g)) + b_psi)."""

    def __init__(self, channels: int):
        super().__init__()
        self.w_x = nn.Conv2d(channels, channels, 2, stride=2, bias=False)
        self.w_g = nn.Conv2d(2 * channels, channels, 1)
        self.psi = nn.Conv2d(channels, 1, 1)

    def forward(self, features: Tensor, gating: Tensor) -> Tensor:
        """features (B, C, H, W), gating (B, 2C, H/2, W/2) -> alpha in (0, 1), (B, 1, H, W)."""
        score = self.psi(F.relu(self.w_x(features) + self.w_g(gating)))  # (B, 1, H/2, W/2)
        return F.interpolate(score.sigmoid(), scale_factor=2, mode="bilinear", align_corners=False)


class AttentionSkip(ConcatSkip):
    """Every feature crosses, weighted by one coefficient a pixel that the coarser level decides."""

    def __init__(self, channels: int):
        super().__init__(channels)
        self.coefficients = AttentionCoefficients(channels)

    def forward(self, features: Tensor, gating: Tensor) -> Tensor:
        return features * self.coefficients(features, gating)


class UNet(nn.Module):
    """Encoder and decoder on `depth` + 1 levels, joined by one `skip` a level.

    Level 0 is the input resolution, level `depth` the bottleneck; level l has widths[l] channels.
    `skips`, `ups` and `decoder` are ordered by level too, finest first, so that index l means
    level l everywhere.
    """

    def __init__(self, block: type, skips: Sequence[type], widths: Sequence[int],
                 in_channels: int, num_classes: int):
        super().__init__()
        self.depth = len(skips)
        self.encoder = nn.ModuleList(block(a, b) for a, b in pairwise([in_channels, *widths]))
        self.skips = nn.ModuleList(skip(width) for skip, width in zip(skips, widths))
        self.ups = nn.ModuleList(
            nn.ConvTranspose2d(below, width, 2, stride=2) for width, below in pairwise(widths))
        self.decoder = nn.ModuleList(
            block(skip.out_channels + width, width) for skip, width in zip(self.skips, widths))
        self.head = nn.Conv2d(widths[0], num_classes, 1)

    def forward(self, image: Tensor) -> Tensor:
        """image (B, in_channels, H, W) -> logits (B, num_classes, H, W), H and W from 2**depth.

        Sides are padded to multiples of 2**depth by the border, and logits cropped back.
        """
        x, window = pad_to_multiple(image, 2**self.depth)
        features = []
        for level, block in enumerate(self.encoder):
            if level:
                x = F.max_pool2d(x, 2)
            x = block(x)  # (B, widths[level], H / 2**level, W / 2**level)
            features.append(x)
        for level in reversed(range(self.depth)):
            crossing = self.skips[level](features[level], x)  # the coarser x is the gating signal
            x = self.decoder[level](join(crossing, self.ups[level](x)))
        return self.head(x)[window]


def join(crossing: Tensor, upsampled: Tensor) -> Tensor:
    """Return (B, C, H, W) and (B, D, H, W) as (B, C + D, H, W)."""
    if crossing.shape[1] == 0:  # a concatenation would return another memory format
        return upsampled
    return torch.cat([crossing, upsampled], dim=1)


def pad_to_multiple(image: Tensor, multiple: int) -> tuple[Tensor, tuple]:
    """Return the image with sides rounded up to multiples, and the index of the original window."""
    height, width = image.shape[-2:]
    if min(height, width) < multiple:
        least = f"{multiple} x {multiple}"
        raise ValueError(f"image of {height} x {width} pixels: expected at least {least}")
    down, right = -height % multiple, -width % multiple
    top, left = down // 2, right // 2
    if down or right:
        image = F.pad(image, (left, right - left, top, down - top), mode="replicate")
    return image, (..., slice(top, top + height), slice(left, left + width))


@dataclass(frozen=True)
class Variant:
    """One network: its names, its block, its skip connection and what is special about it."""

    title: str
    block: type
    skip: type
    short: str = ""  # the name in a chart or a table's head; without one, the key's own words
    matched: bool = False  # widened below the finest level to the parameters of the U-Net
    without: tuple[int, ...] = ()  # levels that have no skip connection all the same

    def skips(self, depth: int = DEPTH) -> list[type]:
        """Return the skip connection of every level, finest first."""
        return [NoSkip if level in self.without else self.skip for level in range(depth)]

    def widths(self, base_channels: int, depth: int = DEPTH) -> list[int]:
        """Return the channels of every level, finest first."""
        if self.matched:
            return list(matched_widths(base_channels, depth))
        return [base_channels * 2**level for level in range(depth + 1)]


@cache
def matched_widths(base_channels: int, depth: int) -> tuple[int, ...]:
    """Return the widths at which a network without skips comes nearest to U-Net's parameters.

    The finest level is as wide as U-Net's, every other a multiple of 8, for matrix units.
    """
    plain = [base_channels * 2**level for level in range(depth + 1)]

    def parameters(skip: type, widths: Sequence[int]) -> int:
        with torch.device("meta"):
            model = UNet(DoubleConv, [skip] * depth, widths, in_channels=3, num_classes=13)
        return sum(parameter.numel() for parameter in model.parameters())

    wanted = parameters(ConcatSkip, plain)
    growth = (wanted / parameters(NoSkip, plain)) ** 0.5
    below = [max(8, int(growth * width) // 8 * 8) for width in plain[1:]]
    candidates = product([base_channels], *((width, width + 8) for width in below))
    return min(candidates, key=lambda widths: abs(parameters(NoSkip, widths) - wanted))


VARIANTS = {
    "unet": Variant("U-Net", DoubleConv, ConcatSkip, short="U-Net"),
    "unet-noskip": Variant("U-Net without skip connections", DoubleConv, NoSkip, short="no skips"),
    "unet-residual": Variant("Residual U-Net", ResidualBlock, ConcatSkip, short="residual"),
    "unet-gated-attention": Variant(
        "Gated Attention U-Net", DoubleConv, AttentionSkip, short="gated"),
}
EXTRA = {
    "unet-residual-noskip": Variant(
        "Residual U-Net without skip connections", ResidualBlock, NoSkip,
        short="residual no skips"),
    "unet-residual-gated-attention": Variant(
        "Residual Gated Attention U-Net", ResidualBlock, AttentionSkip, short="residual gated"),
    "unet-noskip-wide": Variant(
        "Wider U-Net without skip connections", DoubleConv, NoSkip, short="no skips wide",
        matched=True),
}

SUBSETS = [levels for size in range(DEPTH + 1) for levels in combinations(range(DEPTH), size)]


def subset_name(levels: Collection[int]) -> str:
    """Return the network with skips at these levels alone: "unet-skips-0110" for levels 1 and 2."""
    which = "".join("1" if level in levels else "0" for level in range(DEPTH))
    return {"1111": "unet", "0000": "unet-noskip"}.get(which, f"unet-skips-{which}")


for _levels in SUBSETS[1:-1]:
    _words = {1: "level {}", 2: "levels {} and {}", 3: "levels {}, {} and {}"}[len(_levels)]
    EXTRA[subset_name(_levels)] = Variant(
        f"U-Net with skip connections at {_words.format(*_levels)} only", DoubleConv, ConcatSkip,
        without=tuple(level for level in range(DEPTH) if level not in _levels))
NETWORKS = VARIANTS | EXTRA
TITLES = {key: variant.title for key, variant in NETWORKS.items()}
SHORT = {  # names in charts
    key: variant.short or key.removeprefix("unet-").replace("-", " ")
    for key, variant in NETWORKS.items()}


def build_model(
    variant: str, in_channels: int = 3, num_classes: int = 13, base_channels: int = 64,
    depth: int = DEPTH,
) -> UNet:
    """Return the network of that name: (B, in_channels, H, W) -> logits (B, num_classes, H, W)."""
    if variant not in NETWORKS:
        raise ValueError(f"unknown variant {variant!r}: choose one of {', '.join(NETWORKS)}")
    entry = NETWORKS[variant]
    skips, widths = entry.skips(depth), entry.widths(base_channels, depth)
    return UNet(entry.block, skips, widths, in_channels, num_classes)


def multiply_adds(model: nn.Module, image_size: tuple[int, int]) -> int:
    """Return the multiply-adds of a forward pass on one image (H, W), by torch's own counter."""
    device = next(model.parameters()).device
    with FlopCounterMode(display=False) as counter, torch.inference_mode():
        model(torch.zeros(1, 3, *image_size, device=device))
    return counter.get_total_flops() // 2


def attention_maps(model: UNet, image: Tensor) -> list[Tensor]:
    """Return the coefficients alpha of every gate in a forward pass, finest level first.

    Level l has (B, 1, H/2**l, W/2**l), of the padded image; a network without gates has none.
    """
    maps: list[Tensor] = []
    hooks = [
        gate.register_forward_hook(lambda gate, given, alpha: maps.append(alpha))
        for gate in model.skips.modules() if isinstance(gate, AttentionCoefficients)]
    try:
        model(image)
    finally:
        for hook in hooks:
            hook.remove()
    return maps[::-1]  # the decoder runs from coarse to fine
