"""Closed forms of the networks.

Shapes, parameters, multiply-adds, kept activations and receptive fields follow from (block, skip, base_channels,
in_channels, num_classes, depth) and the image size alone; no model is built for them. A block or skip class enters
through its row in `BLOCKS` or `SKIPS`, so that a new one needs one formula and nothing else; a block without a row is
measured instead (`measured_block`). Counted are multiplications with weights, as torch's own counter does: not biases,
normalisation, activations or interpolation.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise

import pandas as pd
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from lib.models import (
    DEPTH, NETWORKS, VARIANTS, AttentionSkip, ConcatSkip, DoubleConv, NoSkip, ResidualBlock, build_model, multiply_adds,
)

FLOAT, INDEX = 4, 8  # bytes of a float32 activation and of an index that max-pooling keeps


@dataclass(frozen=True)
class Cost:
    """What one part of a network costs on one image."""

    parameters: int = 0
    multiply_adds: int = 0
    kept: int = 0  # bytes of the maps that training keeps from the forward for the backward pass


def double_conv(a: int, b: int, n: int) -> Cost:
    """a to b channels on n pixels; kept are the input and the output of both normalisations."""
    weights = 9 * a * b + 9 * b * b
    return Cost(weights + 4 * b, weights * n, 4 * b * n * FLOAT)


def residual_block(a: int, b: int, n: int) -> Cost:
    """A 1x1 shortcut more, where the channels differ; it reads what the first convolution keeps anyway."""
    plain, shortcut = double_conv(a, b, n), a * b * (a != b)
    return Cost(plain.parameters + shortcut, plain.multiply_adds + shortcut * n, plain.kept)


def free_skip(c: int, n: int) -> Cost:
    """Handing over a tensor, or none of it, computes nothing."""
    return Cost()


def attention_skip(c: int, n: int) -> Cost:
    """W_x, W_g and psi work on n / 4 pixels; kept are the rectified sum and alpha, before and after upsampling."""
    return Cost(6 * c * c + 2 * c + 1, (6 * c * c + c) * n // 4, (c + 5) * n // 4 * FLOAT)


@dataclass(frozen=True)
class BlockForm:
    """Closed form of a block: cost (in, out, pixels), fewest convolutions between its ends, reach."""

    cost: Callable[[int, int, int], Cost]
    shortest: int
    shortest_same: int  # where as many channels come out as go in
    reach: int = 2  # pixels beyond its own that an output looks at, to every side


@dataclass(frozen=True)
class SkipForm:
    """Closed form of a skip: cost (channels, pixels), does anything cross, pixels beyond its own that it looks at."""

    cost: Callable[[int, int], Cost]
    crosses: bool
    reach: int


BLOCKS = {DoubleConv: BlockForm(double_conv, 2, 2), ResidualBlock: BlockForm(residual_block, 1, 0)}
SKIPS = {
    ConcatSkip: SkipForm(free_skip, True, 0),
    NoSkip: SkipForm(free_skip, False, 0),
    AttentionSkip: SkipForm(attention_skip, True, 1),  # one pixel more: alpha is interpolated
}


@lru_cache
def measured_block(block: type) -> BlockForm:
    """Return the form of a block that has no formula, measured on the block itself.

    Its cost has to be proportional to the number of pixels, as that of convolutions is.
    """
    return BlockForm(
        cost=lambda a, b, n: _measured_cost(block, a, b, n),
        shortest=_fewest_convolutions(block, 2, 3),
        shortest_same=_fewest_convolutions(block, 2, 2),
        reach=_measured_reach(block),
    )


@lru_cache
def _measured_cost(block: type, a: int, b: int, n: int) -> Cost:
    """Return what a block of a to b channels costs on n pixels, counted on 32 x 32 of them."""
    pixels = 32 * 32
    saved = {}  # by the address of the memory, since layers share it

    def save(tensor: torch.Tensor) -> torch.Tensor:
        if tensor.ndim == 4 and not isinstance(tensor, nn.Parameter):
            saved[tensor.untyped_storage()._cdata] = tensor
        return tensor

    with torch.device("meta"):  # without storage: counted, never computed
        module, image = block(a, b), torch.empty(1, a, 32, 32)
    with torch.autograd.graph.saved_tensors_hooks(save, lambda tensor: tensor):
        module(image)
    saved.pop(image.untyped_storage()._cdata, None)  # which `parts` counts
    with FlopCounterMode(display=False) as counter, torch.inference_mode():
        module.eval()(image)
    return Cost(
        parameters=sum(parameter.numel() for parameter in module.parameters()),
        multiply_adds=counter.get_total_flops() // 2 * n // pixels,
        kept=sum(tensor.untyped_storage().nbytes() for tensor in saved.values()) * n // pixels,
    )


def _fewest_convolutions(block: type, a: int, b: int) -> int:
    """Return the fewest convolutions on a path through the graph of a block of a to b channels."""
    with torch.device("meta"):
        start = torch.empty(1, a, 32, 32, requires_grad=True).clone()
        end = block(a, b)(start)
    distance, queue = {end.grad_fn: 0}, [end.grad_fn]
    for node in queue:  # breadth first, revisiting what turns out to be nearer
        length = distance[node] + (node.name() == "ConvolutionBackward0")
        for following, _ in node.next_functions:
            if following is not None and length < distance.get(following, length + 1):
                distance[following] = length
                queue.append(following)
    return distance[start.grad_fn]


def _measured_reach(block: type, side: int = 129) -> int:
    """Return how far from one pixel of the input a block's output depends on it.

    That pixel is not a number, and nothing that depends on it is one either. In float64, where a
    convolution mixes no pixels beyond those of its kernel.
    """
    centre, image = side // 2, torch.zeros(1, 2, side, side, dtype=torch.float64)
    image[..., centre, centre] = torch.nan
    with torch.inference_mode():
        reached = block(2, 2).double().eval()(image).isnan().any(dim=1)[0].nonzero()
    return int((reached - centre).abs().max())


def _forms(variant: str, depth: int) -> tuple[BlockForm, list[SkipForm]]:
    """The form of the blocks, and that of the skip of every level."""
    entry = NETWORKS[variant]
    block = BLOCKS.get(entry.block) or measured_block(entry.block)
    return block, [SKIPS[skip] for skip in entry.skips(depth)]


@dataclass(frozen=True)
class Part:
    """One part of a network in the order of computation, with the shape of its output."""

    name: str
    level: int
    shape: tuple[int, int, int]  # channels, height, width
    cost: Cost


def parts(variant: str, base_channels: int = 64, num_classes: int = 13, image_size: tuple[int, int] = (256, 256),
          in_channels: int = 3, depth: int = DEPTH) -> list[Part]:
    """Every part of the network on one image (H, W), which is padded to multiples of 2**depth."""
    block, skips = _forms(variant, depth)
    widths = NETWORKS[variant].widths(base_channels, depth)
    sides = [[-(-side // 2**depth) * 2 ** (depth - level) for side in image_size] for level in range(depth + 1)]
    found = []

    def add(name: str, level: int, channels: int, cost: Cost, kept: int = 0) -> None:
        cost = Cost(cost.parameters, cost.multiply_adds, cost.kept + kept)
        found.append(Part(name, level, (channels, *sides[level]), cost))

    for level, (a, b) in enumerate(pairwise([in_channels, *widths])):
        n = sides[level][0] * sides[level][1]
        # The first convolution keeps its input, and max-pooling the position of every maximum.
        kept = a * n * (FLOAT + INDEX * (level > 0))
        add(f"encoder {level}" if level < depth else "bottleneck", level, b, block.cost(a, b, n), kept)
    for level in reversed(range(depth)):
        c, n = widths[level], sides[level][0] * sides[level][1]
        crossing = c * skips[level].crosses
        add(f"skip {level}", level, crossing, skips[level].cost(c, n))
        add(f"up {level}", level, c, Cost(8 * c * c + c, 2 * c * c * n))
        add(f"decoder {level}", level, c, block.cost(crossing + c, c, n), (crossing + c) * n * FLOAT)
    c, n = widths[0], sides[0][0] * sides[0][1]
    add("head", 0, num_classes, Cost(c * num_classes + num_classes, c * num_classes * n))
    return found


def total(variant: str, *args, **kwargs) -> Cost:
    """The sum over `parts`, which takes the same arguments."""
    costs = [part.cost for part in parts(variant, *args, **kwargs)]
    return Cost(*(sum(getattr(cost, field) for cost in costs) for field in Cost.__dataclass_fields__))


def parameters(variant: str, base_channels: int = 64, num_classes: int = 13, in_channels: int = 3,
               depth: int = DEPTH) -> int:
    """Trainable numbers of the network."""
    return total(variant, base_channels, num_classes, (1, 1), in_channels, depth).parameters


def cost(variant: str, base_channels: int = 64, num_classes: int = 13, image_size: tuple[int, int] = (256, 256),
         in_channels: int = 3, depth: int = DEPTH) -> int:
    """Multiply-adds of one forward pass on one image (H, W)."""
    return total(variant, base_channels, num_classes, image_size, in_channels, depth).multiply_adds


def level_table(variant: str, base_channels: int, num_classes: int, image_size: tuple[int, int]) -> pd.DataFrame:
    """The network part by part, with a last row of totals."""
    rows = parts(variant, base_channels, num_classes, image_size)
    whole = Part("total", 0, rows[-1].shape, total(variant, base_channels, num_classes, image_size))
    return pd.DataFrame({
        "Part": part.name, "Output (C × H × W)": " × ".join(map(str, part.shape)),
        "Parameters": part.cost.parameters, "Multiply-adds (millions)": part.cost.multiply_adds / 1e6,
    } for part in [*rows, whole])


def level_costs(variant: str, base_channels: int, num_classes: int, image_size: tuple[int, int]) -> pd.DataFrame:
    """Parameters, multiply-adds and kept bytes of each level, one row a level, finest first."""
    rows = [{"level": part.level, **vars(part.cost)}
            for part in parts(variant, base_channels, num_classes, image_size)]
    return pd.DataFrame(rows).groupby("level", as_index=False).sum()


def summary(base_channels: int, num_classes: int, image_size: tuple[int, int]) -> pd.DataFrame:
    """Closed form beside count, one row a variant: parameters of the built model, torch's counter of arithmetic."""
    rows = []
    for key, variant in VARIANTS.items():
        with torch.device("meta"):  # a model without storage: counted, never computed
            model = build_model(key, num_classes=num_classes, base_channels=base_channels).eval()
        form = total(key, base_channels, num_classes, image_size)
        rows.append({"variant": key, "Network": variant.title, **vars(form),
                     "counted_parameters": sum(p.numel() for p in model.parameters()),
                     "counted_multiply_adds": multiply_adds(model, image_size)})
    return pd.DataFrame(rows)


def receptive_field(variant: str, depth: int = DEPTH) -> pd.DataFrame:
    """Side in pixels of the square of the image that one output of each part depends on, far from the border.

    In the decoder it depends on where the output lies within its 2**depth cell: `smallest` and `largest` side.
    """
    block, skips = _forms(variant, depth)
    reach = [skip.reach for skip in skips]

    def side(level: int, position: int, down: bool) -> int:
        low = high = position
        for above in range(level, depth if down else level):  # from a decoder level to the bottleneck
            beyond = block.reach + reach[above]
            low, high = (low - beyond) // 2, (high + beyond) // 2
        for remaining in reversed(range((depth if down else level) + 1)):  # and from there up to the image
            low, high = low - block.reach, high + block.reach
            if remaining:
                low, high = 2 * low, 2 * high + 1
        return high - low + 1

    rows = [(f"encoder {level}", [side(level, 0, False)]) for level in range(depth)]
    rows.append(("bottleneck", [side(depth, 0, False)]))
    rows += [(f"decoder {level}", [side(level, position, True) for position in range(2 ** (depth - level))])
             for level in reversed(range(depth))]
    return pd.DataFrame([(name, min(sides), max(sides)) for name, sides in rows],
                        columns=["part", "smallest", "largest"])


def shortest_path(variant: str, level: int, depth: int = DEPTH) -> int:
    """The fewest convolutions between the logits and the output of that encoder level."""
    block, skips = _forms(variant, depth)
    decoder = [block.shortest if skip.crosses else block.shortest_same for skip in skips]
    if level == depth:  # the head, then down the decoder and its transposed convolutions
        return 1 + sum(decoder) + depth
    below = shortest_path(variant, level + 1, depth) + block.shortest
    return min(below, 1 + sum(decoder[: level + 1]) + level) if skips[level].crosses else below
