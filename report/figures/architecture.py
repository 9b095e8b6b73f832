"""What a built network looks like, read from the model itself: no picture can be out of date.

The model is built on torch's meta device, where tensors have a shape and no numbers. Forward hooks
tell what enters and leaves every part; torch.fx traces what happens inside a block or a skip, and
`chart` draws these steps. The marks that drawings are made of are here too: each is a function that
returns SVG. Colours are CSS variables of the report, each with its value on light paper.
"""

import operator
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from html import escape

import numpy as np
import torch
import torch.nn.functional as F
from torch import fx, nn
from torch.fx.passes.shape_prop import ShapeProp

from lib.models import UNet, build_model

FUNCTIONS = {operator.add: "+", operator.mul: "×", torch.sigmoid: "σ", F.relu: "ReLU"}
LAYERS = {nn.BatchNorm2d: "normalise", nn.ReLU: "ReLU", nn.Identity: "identity"}
LANE, TOP, SIGN = 62, 26, 11  # pixels: between lanes, above the first, radius of a + or ×
SMALL = 10.5  # pixels: the size of most lettering
Point = tuple[float, float]


@dataclass(frozen=True)
class Operation:
    """One step inside a part: its label, line by line, and its inputs by position in the steps."""

    label: tuple[str, ...]
    inputs: tuple[int, ...]
    kind: str  # "input", "layer" (it has weights), "step" or "output"

    @property
    def is_sign(self) -> bool:
        """Whether the step is drawn as a sign in a circle."""
        return self.kind == "step" and len(self.label[0]) == 1

    @property
    def width(self) -> float:
        """The width of its box in pixels."""
        return 2 * SIGN if self.is_sign else 14 + 5.7 * max(map(len, self.label))


@dataclass(frozen=True)
class Level:
    """One level of a network: its size, channels, and the kinds of its parts.

    At the bottleneck nothing crosses and nothing comes up, and `decoder` is 0.
    """

    size: tuple[int, int]
    encoder: int
    encoder_shortcut: bool = False
    crossing: int = 0
    gated: bool = False
    up: int = 0
    decoder: int = 0
    decoder_shortcut: bool = False


@dataclass(frozen=True)
class Architecture:
    """A network from the finest level to the bottleneck, and its finest parts step by step."""

    levels: tuple[Level, ...]
    in_channels: int
    num_classes: int
    block: tuple[Operation, ...]  # of the decoder
    skip: tuple[Operation, ...]


@lru_cache
def read(
    variant: str, base_channels: int, num_classes: int, size: tuple[int, int]
) -> Architecture:
    """Return the network of that name as `build_model` builds it, for images of that (H, W)."""
    with torch.device("meta"):
        model = build_model(variant, num_classes=num_classes, base_channels=base_channels).eval()
        image = torch.empty(1, 3, *size)
    inputs, outputs = _shapes(model, image)
    traced = {part: steps(part, *inputs[part])
              for part in (*model.encoder, *model.skips, *model.decoder)}  # fmt: skip
    levels = []
    for level, block in enumerate(model.encoder):
        _, channels, *grid = outputs[block]
        shortcut = _has("+", traced[block])
        if level == len(model.skips):  # the bottleneck
            levels.append(Level(tuple(grid), channels, shortcut))
            continue
        skip, up, decoder = model.skips[level], model.ups[level], model.decoder[level]
        levels.append(Level(
            tuple(grid), channels, shortcut,
            crossing=outputs[skip][1], gated=_has("×", traced[skip]), up=outputs[up][1],
            decoder=outputs[decoder][1], decoder_shortcut=_has("+", traced[decoder]),
        ))  # fmt: skip
    block, skip = traced[model.decoder[0]], traced[model.skips[0]]
    return Architecture(tuple(levels), 3, outputs[model.head][1], block, skip)


def _shapes(model: UNet, image: torch.Tensor) -> tuple[dict, dict]:
    """The shapes that enter each module in one forward pass, and the shape that leaves it."""
    inputs, outputs = {}, {}

    def keep(module: nn.Module, arguments: tuple, output: torch.Tensor) -> None:
        inputs[module] = tuple(tuple(each.shape) for each in arguments)
        outputs[module] = tuple(output.shape)

    hooks = [module.register_forward_hook(keep) for module in model.modules()]
    model(image)
    for hook in hooks:
        hook.remove()
    return inputs, outputs


def _has(sign: str, operations: Sequence[Operation]) -> bool:
    return any(operation.label == (sign,) for operation in operations)


def steps(module: nn.Module, *shapes: tuple[int, ...]) -> tuple[Operation, ...]:
    """Return what a module does to inputs of these shapes, in the order of its computation."""
    traced = fx.symbolic_trace(module)
    ShapeProp(traced).propagate(*(torch.empty(shape, device="meta") for shape in shapes))
    nodes = list(traced.graph.nodes)
    operations = []
    for node in nodes:
        sources = tuple(nodes.index(source) for source in node.all_input_nodes)
        operations.append(Operation(_label(node, traced), sources, _kind(node, traced)))
    return tuple(operations)


def _kind(node: fx.Node, traced: fx.GraphModule) -> str:
    if node.op == "placeholder":
        return "input"
    if node.op == "output":
        return "output"
    if node.op == "call_module" and list(traced.get_submodule(node.target).parameters()):
        return "layer"
    return "step"


def _label(node: fx.Node, traced: fx.GraphModule) -> tuple[str, ...]:
    """A step in words, with channels and sizes; one that is not known by name keeps its own."""
    if node.op == "placeholder":
        name = str(node.target).strip("_").replace("input", "x")
        return name, f"{node.meta['tensor_meta'].shape[1]} channels"
    if node.op == "output":
        return ("output",)
    if node.op == "call_function":
        if node.target is F.interpolate:
            return "upsample", f"× {node.kwargs['scale_factor']}"
        return (FUNCTIONS.get(node.target, node.target.__name__),)
    layer = traced.get_submodule(node.target)
    if not isinstance(layer, nn.Conv2d):
        return (LAYERS.get(type(layer), type(layer).__name__),)
    lines = [" × ".join(map(str, layer.kernel_size)) + " conv"]
    if layer.stride[0] > 1:
        lines.append(f"stride {layer.stride[0]}")
    if layer.dilation[0] > 1:
        lines.append(f"dilation {layer.dilation[0]}")
    return *lines, f"{layer.in_channels} → {layer.out_channels}"


def tag(name: str, *children: str, **attributes: object) -> str:
    """Return one element; `class_` and `stroke_width` stand for class and stroke-width."""
    opened = name
    for key, value in attributes.items():
        text = f"{value:.4g}" if isinstance(value, float) else str(value)
        opened += f' {key.rstrip("_").replace("_", "-")}="{escape(text)}"'
    return f"<{opened}>{''.join(children)}</{name}>" if children else f"<{opened}/>"


def text(content: str, x: float, y: float, kind: str = "", size: float = SMALL, *more: str) -> str:
    """Return a line of text that starts, ends or is centred at (x, y), as its kind says."""
    options = {"class_": kind} if kind else {}
    return tag("text", escape(content), *more, x=x, y=y, font_size=size, **options)


def line(start: Point, end: Point, kind: str = "line", **more: object) -> str:
    """Return a straight line of a kind that the drawing's style knows."""
    return tag("line", x1=start[0], y1=start[1], x2=end[0], y2=end[1], class_=kind, **more)


def arrow(*corners: Point, kind: str = "line") -> str:
    """Return a line through the corners, horizontal and vertical pieces, with a tip at its end."""
    before, end = np.array(corners[-2:])
    ahead = 6 * np.sign(end - before)  # the length of the tip
    aside = ahead[::-1] / 2
    back, across = -ahead - aside, 2 * aside
    tip = f"{_path([end])}l{back[0]:.1f} {back[1]:.1f}l{across[0]:.1f} {across[1]:.1f}z"
    tip_kind = "own" if "stroke" in kind else "tip"
    return tag("path", d=_path(corners), class_=kind) + tag("path", d=tip, class_=tip_kind)


def _path(points: Sequence[Point]) -> str:
    return "M" + "L".join(f"{x:.1f} {y:.1f}" for x, y in points)


def chart(operations: Sequence[Operation], width: float) -> tuple[str, float]:
    """Draw the steps of a part from left to right, one beside another below it; and the height."""
    columns, lanes = places(operations)
    widths = [0.0] * (max(columns) + 1)
    for operation, column in zip(operations, columns):
        widths[column] = max(widths[column], operation.width)
    gap = (width - sum(widths)) / (len(widths) - 1)
    left = [sum(widths[:column]) + gap * column for column in range(len(widths))]
    drawn = ""
    for operation, column, lane in zip(operations, columns, lanes):
        start, middle, y = left[column], left[column] + widths[column] / 2, TOP + LANE * lane
        for source in operation.inputs:
            x = left[columns[source]] + widths[columns[source]]
            from_y = TOP + LANE * lanes[source]
            if from_y == y:
                drawn += arrow((x, y), (start, y))
            elif len(operation.inputs) > 1:  # it joins from its own lane
                edge = y + SIGN if from_y > y else y - SIGN
                drawn += arrow((x, from_y), (middle, from_y), (middle, edge))
            else:
                bend = x + gap / 2
                drawn += arrow((x, from_y), (bend, from_y), (bend, y), (start, y))
        drawn += _box(operation, middle, y, widths[column])
    return drawn, TOP + LANE * max(lanes) + TOP


def places(operations: Sequence[Operation]) -> tuple[list[int], list[int]]:
    """Return column and lane of each step.

    The column is as late as its inputs make it. The lane is that of its first input, if no other
    step that uses this input has more right to it: the last to join it to something, or else the
    first.
    """
    columns, lanes = [], []
    for index, operation in enumerate(operations):
        if not operation.inputs:
            columns.append(0)
            lanes.append(2 if lanes else 0)
            continue
        columns.append(1 + max(columns[source] for source in operation.inputs))
        source = operation.inputs[0]
        users = [i for i, other in enumerate(operations) if source in other.inputs]
        joins = [i for i in users if len(operations[i].inputs) > 1]
        heir = joins[-1] if joins else users[0]
        lanes.append(lanes[source] if index == heir else lanes[source] + 1)
    return columns, lanes


def _box(operation: Operation, x: float, y: float, width: float) -> str:
    """A step as a sign in a circle, as a box, or, at either end, as text alone."""
    if operation.is_sign:
        circle = tag("circle", cx=x, cy=y, r=SIGN, class_="own")
        return circle + text(operation.label[0], x, y + 4, "middle paper bold", 13)
    drawn, lines = "", len(operation.label)
    if operation.kind in ("layer", "step"):
        height = 12 + 13 * lines
        kind = "box" if operation.kind == "layer" else "soft"
        drawn = tag("rect", x=x - width / 2, y=y - height / 2, width=width, height=height, rx=3,
                    class_=kind)  # fmt: skip
    for index, label in enumerate(operation.label):
        drawn += text(label, x, y + 4 - 6.5 * (lines - 1) + 13 * index, "middle")
    return drawn
