"""What a built network looks like: read from the model itself, so that no picture of it can be out of date.

The model is built on torch's meta device, where tensors have a shape and no numbers. Forward hooks tell what enters
and leaves every part; torch.fx traces what happens inside a block or a skip.
"""

import operator
from dataclasses import dataclass
from functools import lru_cache

import torch
import torch.nn.functional as F
from torch import fx, nn
from torch.fx.passes.shape_prop import ShapeProp

from lib.models import UNet, build_model

FUNCTIONS = {operator.add: "+", operator.mul: "×", torch.sigmoid: "σ", F.relu: "ReLU"}


@dataclass(frozen=True)
class Operation:
    """One step inside a part: its inputs by position in the list of steps, and its label, line by line."""

    label: tuple[str, ...]
    inputs: tuple[int, ...]
    kind: str  # "input", "layer" (it has weights), "step" or "output"


@dataclass(frozen=True)
class Level:
    """One level of a network: channels and size, what joins in the decoder, and the kinds of its parts.

    At the bottleneck nothing crosses and nothing comes up, and `decoder` is 0.
    """

    size: tuple[int, int]
    encoder: int
    crossing: int = 0
    up: int = 0
    decoder: int = 0
    gated: bool = False
    shortcuts: tuple[bool, bool] = (False, False)  # in the encoder's block, in the decoder's


@dataclass(frozen=True)
class Architecture:
    """A network from the finest level to the bottleneck, and what its finest decoder block and skip do, step by step."""

    levels: tuple[Level, ...]
    in_channels: int
    num_classes: int
    block: tuple[Operation, ...]
    skip: tuple[Operation, ...]


@lru_cache
def read(variant: str, base_channels: int, num_classes: int, size: tuple[int, int]) -> Architecture:
    """The network of that name as `build_model` builds it, for images of that height and width."""
    with torch.device("meta"):
        model = build_model(variant, num_classes=num_classes, base_channels=base_channels).eval()
        image = torch.empty(1, 3, *size)
    passed = _passed(model, image)
    levels = []
    for level, block in enumerate(model.encoder):
        _, (_, channels, *grid) = passed[block]
        more = {"shortcuts": (_has("+", block, passed), False)}
        if level < len(model.skips):
            skip, up, decoder = model.skips[level], model.ups[level], model.decoder[level]
            more = {"crossing": passed[skip][1][1], "up": passed[up][1][1], "decoder": passed[decoder][1][1],
                    "gated": _has("×", skip, passed), "shortcuts": (_has("+", block, passed), _has("+", decoder, passed))}
        levels.append(Level(tuple(grid), channels, **more))
    block, skip = model.decoder[0], model.skips[0]
    return Architecture(tuple(levels), 3, passed[model.head][1][1], steps(block, *passed[block][0]),
                        steps(skip, *passed[skip][0]))


def _passed(model: UNet, image: torch.Tensor) -> dict[nn.Module, tuple[tuple, tuple]]:
    """The shapes that enter and leave each module in one forward pass."""
    passed = {}

    def keep(module: nn.Module, inputs: tuple, output: torch.Tensor) -> None:
        passed[module] = tuple(tuple(each.shape) for each in inputs), tuple(output.shape)

    hooks = [module.register_forward_hook(keep) for module in model.modules()]
    model(image)
    for hook in hooks:
        hook.remove()
    return passed


def _has(sign: str, module: nn.Module, passed: dict) -> bool:
    return any(step.label == (sign,) for step in steps(module, *passed[module][0]))


def steps(module: nn.Module, *shapes: tuple[int, ...]) -> tuple[Operation, ...]:
    """What a module does to inputs of these shapes, in the order of its computation."""
    traced = fx.symbolic_trace(module)
    ShapeProp(traced).propagate(*(torch.empty(shape, device="meta") for shape in shapes))
    nodes = list(traced.graph.nodes)
    return tuple(Operation(_label(node, traced), tuple(map(nodes.index, node.all_input_nodes)), _kind(node, traced))
                 for node in nodes)


def _kind(node: fx.Node, traced: fx.GraphModule) -> str:
    if node.op in ("placeholder", "output"):
        return {"placeholder": "input"}.get(node.op, node.op)
    weights = node.op == "call_module" and any(True for _ in traced.get_submodule(node.target).parameters())
    return "layer" if weights else "step"


def _label(node: fx.Node, traced: fx.GraphModule) -> tuple[str, ...]:
    """In words, with channels and sizes; a step that is not known by name keeps its own."""
    shape = node.meta["tensor_meta"].shape if "tensor_meta" in node.meta else ()
    if node.op == "placeholder":
        return str(node.target).strip("_").replace("input", "x"), f"{shape[1]} channels"
    if node.op == "output":
        return ("output",)
    if node.op == "call_function":
        if node.target is F.interpolate:
            return "upsample", f"× {node.kwargs['scale_factor']}"
        return (FUNCTIONS.get(node.target, node.target.__name__),)
    layer = traced.get_submodule(node.target)
    if isinstance(layer, nn.Conv2d):
        stride = [f"stride {layer.stride[0]}"] if layer.stride[0] > 1 else []
        if layer.dilation[0] > 1:
            stride.append(f"dilation {layer.dilation[0]}")
        kernel = " × ".join(map(str, layer.kernel_size))
        return f"{kernel} conv", *stride, f"{layer.in_channels} → {layer.out_channels}"
    return ({nn.BatchNorm2d: "normalise", nn.ReLU: "ReLU", nn.Identity: "identity"}.get(type(layer), type(layer).__name__),)
