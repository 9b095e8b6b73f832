"""What the networks cost and see, counted in the built models.

Models are built on torch's meta device, where tensors have shapes and no numbers. Counted are
multiplications with weights, as torch's own counter does: not biases, normalisation, activations or
interpolation.
"""

from dataclasses import dataclass
from functools import lru_cache

import pandas as pd
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from lib.models import DEPTH, NETWORKS, VARIANTS, UNet, build_model

SIZE = (256, 256)  # of the original study's images


@dataclass(frozen=True)
class Cost:
    """What a network, or a part of it, costs on one image."""

    parameters: int
    multiply_adds: int
    saved: int  # bytes of the activations that the forward pass stores for the backward pass


@dataclass(frozen=True)
class PartCost:
    """What one part of a network costs, with the shape of its output."""

    name: str
    shape: tuple[int, ...]  # channels, height, width
    parameters: int
    multiply_adds: int


def _on_meta(variant: str, base_channels: int, num_classes: int, depth: int) -> UNet:
    with torch.device("meta"):
        return build_model(variant, 3, num_classes, base_channels, depth)


@lru_cache
def parts_of(
    variant: str, base_channels: int = 64, num_classes: int = 13,
    image_size: tuple[int, int] = SIZE, depth: int = DEPTH,
) -> list[PartCost]:  # fmt: skip
    """Return every part of the network on one image (H, W), in the order of computation."""
    model = _on_meta(variant, base_channels, num_classes, depth).eval()
    modules = {"bottleneck": model.encoder[depth], "head": model.head}
    for level in range(depth):
        modules |= {
            f"encoder {level}": model.encoder[level], f"skip {level}": model.skips[level],
            f"up {level}": model.ups[level], f"decoder {level}": model.decoder[level],
        }  # fmt: skip
    shapes = {}  # in the order of computation
    for name, module in modules.items():
        module.register_forward_hook(
            lambda module, inputs, output, name=name: shapes.update({name: output.shape[1:]})
        )
    with FlopCounterMode(display=False) as counter, torch.inference_mode():
        model(torch.empty(1, 3, *image_size, device="meta"))
    counts = counter.get_flop_counts()
    paths = {module: f"UNet.{path}" for path, module in model.named_modules()}
    return [
        PartCost(
            name,
            tuple(shape),
            sum(parameter.numel() for parameter in modules[name].parameters()),
            sum(counts.get(paths[modules[name]], {}).values()) // 2,
        )
        for name, shape in shapes.items()
    ]


@lru_cache
def total_cost(
    variant: str, base_channels: int = 64, num_classes: int = 13,
    image_size: tuple[int, int] = SIZE, depth: int = DEPTH,
) -> Cost:  # fmt: skip
    """Return what the whole network costs on one image (H, W)."""
    parts = parts_of(variant, base_channels, num_classes, image_size, depth)
    model, saved = _on_meta(variant, base_channels, num_classes, depth), {}

    def save(tensor: torch.Tensor) -> torch.Tensor:
        if tensor.ndim == 4 and not isinstance(tensor, nn.Parameter):
            storage = tensor.untyped_storage()
            saved[storage._cdata] = tensor  # once, however many layers share it
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(save, lambda tensor: tensor):
        model(torch.empty(1, 3, *image_size, device="meta"))
    return Cost(
        sum(part.parameters for part in parts),
        sum(part.multiply_adds for part in parts),
        sum(tensor.untyped_storage().nbytes() for tensor in saved.values()),
    )


def level_table(
    variant: str, base_channels: int, num_classes: int, image_size: tuple[int, int]
) -> pd.DataFrame:
    """Return the network part by part, with a last row of totals."""
    parts = parts_of(variant, base_channels, num_classes, image_size)
    whole = total_cost(variant, base_channels, num_classes, image_size)
    last = PartCost("total", parts[-1].shape, whole.parameters, whole.multiply_adds)
    return pd.DataFrame(
        {
            "Part": part.name,
            "Output (C × H × W)": " × ".join(map(str, part.shape)),
            "Parameters": part.parameters,
            "Multiply-adds (millions)": part.multiply_adds / 1e6,
        }
        for part in [*parts, last]
    )


def summary(base_channels: int, num_classes: int, image_size: tuple[int, int]) -> pd.DataFrame:
    """Return what each variant costs on one image (H, W), a row for each."""
    sizes = base_channels, num_classes, image_size
    return pd.DataFrame(
        {"variant": key, "Network": variant.title, **vars(total_cost(key, *sizes))}
        for key, variant in VARIANTS.items()
    )


@lru_cache
def reach(block: type) -> int:
    """Return how far from one pixel of the input a block's output depends on it.

    That pixel is not a number, and neither is anything that depends on it. In float64, where a
    convolution mixes no pixels beyond those of its kernel.
    """
    centre = 32
    image = torch.zeros(1, 2, 2 * centre + 1, 2 * centre + 1, dtype=torch.float64)
    image[..., centre, centre] = torch.nan
    with torch.inference_mode():
        reached = block(2, 2).double().eval()(image).isnan().any(dim=1)[0].nonzero()
    return int((reached - centre).abs().max())


def receptive_fields(variant: str) -> list[int]:
    """Return the side in pixels of the square that each encoder level's outputs depend on.

    Far from the border; the finest level first, the last entry is the bottleneck's.
    """
    beyond, sides = reach(NETWORKS[variant].block), []
    for level in range(DEPTH + 1):
        side = 1 + 2 * beyond
        for _ in range(level):  # up to the image
            side = 2 * side + 2 * beyond
        sides.append(side)
    return sides


@lru_cache
def shortest_paths(variant: str, depth: int = DEPTH) -> list[int]:
    """Return the fewest convolutions between each encoder level's output and the logits.

    Read from the graph that autograd records; the last entry is the bottleneck's.
    """
    model, ends = _on_meta(variant, 2, 2, depth), []
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
