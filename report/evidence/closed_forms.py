"""What the networks cost and see: counted in the built models, and in closed form.

Models are built on torch's meta device, where tensors have shapes and no numbers. Counted are
multiplications with weights, as torch's own counter does: not biases, normalisation, activations or
interpolation. The closed forms are those of the theory chapter, for images whose sides are
multiples of 2**depth.
"""

from dataclasses import dataclass
from functools import lru_cache

import pandas as pd
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from lib.models import DEPTH, NETWORKS, VARIANTS, AttentionSkip, UNet, build_model

SIZE = (256, 256)  # of the original study's images


@dataclass(frozen=True)
class Cost:
    """What a network, or a part of it, costs on one image."""

    parameters: int = 0
    multiply_adds: int = 0
    kept: int = 0  # bytes of the maps that the forward pass stores for the backward pass


@dataclass(frozen=True)
class Part:
    """One part of a network in the order of computation, with the shape of its output."""

    name: str
    shape: tuple[int, int, int]  # channels, height, width
    parameters: int
    multiply_adds: int


def _build(
    variant: str, base_channels: int, num_classes: int, in_channels: int, depth: int
) -> UNet:
    with torch.device("meta"):
        return build_model(variant, in_channels, num_classes, base_channels, depth)


@lru_cache
def parts(
    variant: str, base_channels: int = 64, num_classes: int = 13,
    image_size: tuple[int, int] = SIZE, in_channels: int = 3, depth: int = DEPTH,
) -> list[Part]:  # fmt: skip
    """Return every part of the network on one image (H, W), in the order of computation."""
    model = _build(variant, base_channels, num_classes, in_channels, depth).eval()
    found = []

    def add(name: str, path: str, module: nn.Module) -> None:
        def note(_: nn.Module, inputs: tuple, output: torch.Tensor) -> None:
            parameters = sum(parameter.numel() for parameter in module.parameters())
            found.append((name, path, tuple(output.shape[1:]), parameters))

        module.register_forward_hook(note)

    for level in range(depth):
        add(f"encoder {level}", f"encoder.{level}", model.encoder[level])
        add(f"skip {level}", f"skips.{level}", model.skips[level])
        add(f"up {level}", f"ups.{level}", model.ups[level])
        add(f"decoder {level}", f"decoder.{level}", model.decoder[level])
    add("bottleneck", f"encoder.{depth}", model.encoder[depth])
    add("head", "head", model.head)
    with FlopCounterMode(display=False) as counter, torch.inference_mode():
        model(torch.empty(1, in_channels, *image_size, device="meta"))
    counts = counter.get_flop_counts()
    return [
        Part(name, shape, parameters, sum(counts.get(f"UNet.{path}", {}).values()) // 2)
        for name, path, shape, parameters in found
    ]


@lru_cache
def total(
    variant: str, base_channels: int = 64, num_classes: int = 13,
    image_size: tuple[int, int] = SIZE, in_channels: int = 3, depth: int = DEPTH,
) -> Cost:  # fmt: skip
    """Return what the whole network costs on one image (H, W)."""
    rows = parts(variant, base_channels, num_classes, image_size, in_channels, depth)
    model = _build(variant, base_channels, num_classes, in_channels, depth)
    return Cost(
        sum(part.parameters for part in rows),
        sum(part.multiply_adds for part in rows),
        _kept(model, torch.empty(1, in_channels, *image_size, device="meta")),
    )


def _kept(model: UNet, image: torch.Tensor) -> int:
    """Return the bytes of the maps that autograd saves, each counted once."""
    saved = {}  # by memory, since layers share it

    def save(tensor: torch.Tensor) -> torch.Tensor:
        if tensor.ndim == 4 and not isinstance(tensor, nn.Parameter):
            saved[tensor.untyped_storage()._cdata] = tensor
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(save, lambda tensor: tensor):
        model(image)
    return sum(tensor.untyped_storage().nbytes() for tensor in saved.values())


def parameters(variant: str, base_channels: int = 64, num_classes: int = 13) -> int:
    """Return the number of trainable parameters."""
    return sum(part.parameters for part in parts(variant, base_channels, num_classes, (16, 16)))


def cost(
    variant: str, base_channels: int = 64, num_classes: int = 13,
    image_size: tuple[int, int] = SIZE,
) -> int:  # fmt: skip
    """Return the multiply-adds of one forward pass on one image (H, W)."""
    rows = parts(variant, base_channels, num_classes, image_size)
    return sum(part.multiply_adds for part in rows)


def level_table(
    variant: str, base_channels: int, num_classes: int, image_size: tuple[int, int]
) -> pd.DataFrame:
    """Return the network part by part, with a last row of totals."""
    rows = parts(variant, base_channels, num_classes, image_size)
    whole = total(variant, base_channels, num_classes, image_size)
    last = Part("total", rows[-1].shape, whole.parameters, whole.multiply_adds)
    return pd.DataFrame(
        {
            "Part": part.name,
            "Output (C × H × W)": " × ".join(map(str, part.shape)),
            "Parameters": part.parameters,
            "Multiply-adds (millions)": part.multiply_adds / 1e6,
        }
        for part in [*rows, last]
    )


def formulas(variant: str, c: int, classes: int, pixels: int, depth: int = DEPTH) -> Cost | None:
    """Return the cost by the chapter's equations; None for a network that they do not cover.

    c base channels, three input channels, an image of that many pixels.
    """
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
    elif variant != "unet":
        return None
    return Cost(round(weights), round(work * pixels), round(4 * maps * pixels))


def summary(base_channels: int, num_classes: int, image_size: tuple[int, int]) -> pd.DataFrame:
    """Return closed form beside count, a row for each variant."""
    rows = []
    for key, variant in VARIANTS.items():
        counted = total(key, base_channels, num_classes, image_size)
        form = formulas(key, base_channels, num_classes, image_size[0] * image_size[1]) or counted
        row = {"variant": key, "Network": variant.title, **vars(form)}
        row |= {f"counted_{name}": value for name, value in vars(counted).items()}
        rows.append(row)
    return pd.DataFrame(rows)


@lru_cache
def reach(block: type, side: int = 65) -> int:
    """Return how far from one pixel of the input a block's output depends on it.

    That pixel is not a number, and neither is anything that depends on it. In float64, where a
    convolution mixes no pixels beyond those of its kernel.
    """
    centre, image = side // 2, torch.zeros(1, 2, side, side, dtype=torch.float64)
    image[..., centre, centre] = torch.nan
    with torch.inference_mode():
        reached = block(2, 2).double().eval()(image).isnan().any(dim=1)[0].nonzero()
    return int((reached - centre).abs().max())


def receptive_field(variant: str, depth: int = DEPTH) -> pd.DataFrame:
    """Return the side of the square of the image that each part's outputs depend on, pixels.

    Far from the border. In the decoder it depends on where the output lies within its 2**depth
    cell: `smallest` and `largest` side.
    """
    entry = NETWORKS[variant]
    beyond = reach(entry.block)
    # Interpolating α looks a pixel further.
    gates = [skip is AttentionSkip for skip in entry.skips(depth)]

    def side(level: int, position: int, through_bottleneck: bool) -> int:
        low = high = position
        last = depth if through_bottleneck else level
        for above in range(level, last):  # down from the decoder's level
            low = (low - beyond - gates[above]) // 2
            high = (high + beyond + gates[above]) // 2
        for remaining in reversed(range(last + 1)):  # and up to the image
            low, high = low - beyond, high + beyond
            if remaining:
                low, high = 2 * low, 2 * high + 1
        return high - low + 1

    rows = [(f"encoder {level}", [side(level, 0, False)]) for level in range(depth)]
    rows.append(("bottleneck", [side(depth, 0, False)]))
    for level in reversed(range(depth)):
        sides = [side(level, position, True) for position in range(2 ** (depth - level))]
        rows.append((f"decoder {level}", sides))
    table = [(name, min(sides), max(sides)) for name, sides in rows]
    return pd.DataFrame(table, columns=["part", "smallest", "largest"])


@lru_cache
def shortest_paths(variant: str, depth: int = DEPTH) -> list[int]:
    """Return the fewest convolutions between each encoder level's output and the logits.

    Read from the graph that autograd records; the last entry is the bottleneck's.
    """
    model, ends = _build(variant, 2, 2, 3, depth), []
    for block in model.encoder:
        block.register_forward_hook(lambda module, inputs, output: ends.append(output.grad_fn))
    logits = model(torch.empty(2, 3, 2 ** (depth + 1), 2 ** (depth + 1), device="meta"))
    distance, queue = {logits.grad_fn: 0}, [logits.grad_fn]
    for node in queue:  # breadth first, revisiting what turns out to be nearer
        length = distance[node] + (node.name() == "ConvolutionBackward0")
        for following, _ in node.next_functions:
            if following is not None and length < distance.get(following, length + 1):
                distance[following] = length
                queue.append(following)
    return [distance[end] for end in ends]


def bits_lost(base_channels: int, depth: int = DEPTH) -> float:
    """Return the bits per pixel of the image that max-pooling discards: which of four was it."""
    return base_channels * (1 - 2.0**-depth)
