"""The theory chapter's demonstrations: measured on untrained networks in seconds, drawn, and put into words.

An untrained network shows what the wiring alone does to signals and gradients; what training makes of it is for the
chapters with results. `influence` follows Luo et al. (2016), who call what it measures the effective receptive field.
"""

from collections.abc import Callable, Sequence

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import torch
import torch.nn.functional as F
from matplotlib.axes import Axes
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from torch import Tensor, nn

from lib.classes import IGNORE
from lib.models import DEPTH, TITLES, VARIANTS, attention_maps, build_model
from lib.records import Run
from report.evidence import closed_forms as theory
from report.evidence.wording import percent
from report.figures.style import COLORS, MARKERS, PAGE, SHORT


def gradient_flow(variant: str, images: Tensor, targets: Tensor, num_classes: int, base_channels: int,
                  seed: int) -> pd.DataFrame:
    """How the gradient of the loss reaches each encoder level of the untrained network, one row a level.

    images float32 (B, 3, H, W), targets int64 (B, H, W). `relative` is the norm of the gradient of the convolutions'
    weights by the norm of the weights. `across` is the share of the gradient g of the features that arrives through
    the skip of that level, <s, g> / <g, g> for g = s + (what arrives through the levels below); NaN at the bottleneck.
    """
    torch.manual_seed(seed)
    model = build_model(variant, num_classes=num_classes, base_channels=base_channels)
    features, crossing = [], []

    def keep(block: nn.Module, inputs: tuple, output: Tensor) -> None:
        output.retain_grad()
        features.append(output)

    def keep_crossing(skip: nn.Module, inputs: tuple) -> tuple:
        branch = inputs[0].clone()  # a tensor of its own, so that its gradient is that of the skip alone
        branch.retain_grad()
        crossing.append(branch)
        return branch, *inputs[1:]

    for block in model.encoder:
        block.register_forward_hook(keep)
    for skip in model.skips:
        skip.register_forward_pre_hook(keep_crossing)
    F.cross_entropy(model(images), targets, ignore_index=IGNORE).backward()
    rows = []
    for level, (block, feature) in enumerate(zip(model.encoder, features)):
        weights = [w for w in block.parameters() if w.ndim == 4]
        relative = _norm(w.grad for w in weights) / _norm(weights)
        across = _share(crossing[-1 - level].grad, feature.grad) if level < len(crossing) else np.nan
        rows.append({"variant": variant, "seed": seed, "level": level, "relative": relative, "across": across})
    return pd.DataFrame(rows)


def _norm(tensors) -> float:
    return float(torch.cat([tensor.detach().flatten() for tensor in tensors]).norm())


def _share(part: Tensor | None, whole: Tensor) -> float:
    if part is None:  # nothing crosses, so that nothing comes back
        return 0.0
    return float((part * whole).sum() / whole.square().sum())


def influence(variant: str, image: Tensor, base_channels: int, seed: int) -> np.ndarray:
    """Share of each pixel in the squared gradient of the central logits of the untrained network, float64 (H, W).

    image float32 (3, H, W). Normalisation uses the statistics of this image, held fixed.
    """
    torch.manual_seed(seed)
    model = build_model(variant, base_channels=base_channels)
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.momentum = 1.0  # the running statistics become those of the next pass
    batch = image[None]
    with torch.no_grad():
        model.train()(batch)
    batch = batch.clone().requires_grad_()
    model.eval()(batch)[..., image.shape[1] // 2, image.shape[2] // 2].sum().backward()
    energy = batch.grad[0].double().square().sum(0).numpy()
    return energy / max(energy.sum(), np.finfo(float).tiny)  # all zeros where every rectifier is shut


@torch.no_grad()
def untrained_gates(images: Tensor, base_channels: int, draws: int) -> Tensor:
    """Every coefficient of every gate at initialisation, in one row; images float32 (B, 3, H, W)."""
    rows = []
    for seed in range(draws):
        torch.manual_seed(seed)
        maps = attention_maps(build_model("unet-gated-attention", base_channels=base_channels), images)
        rows += [alpha.flatten() for alpha in maps]
    return torch.cat(rows)


def half_side(influence: np.ndarray, share: float = 0.5) -> int:
    """Side in pixels of the smallest square around the centre that holds this share of the influence."""
    rows, columns = (np.abs(np.arange(side) - side // 2) for side in influence.shape)
    distance = np.maximum(rows[:, None], columns)
    held = np.bincount(distance.ravel(), influence.ravel()).cumsum()
    return 2 * int(np.searchsorted(held, share)) + 1


def costs(tables: dict[str, pd.DataFrame]) -> Figure:
    """`theory.level_costs` of each variant; one grid line is a factor of two."""
    figure, panels = plt.subplots(1, 3, figsize=(PAGE, 2.5))
    columns = {"parameters": ("parameters (thousands)", 1e3),
               "multiply_adds": ("multiply-adds (millions)", 1e6), "kept": ("kept for training (MiB)", 2**20)}
    for axes, (column, (title, unit)) in zip(panels, columns.items()):
        axes.set_yscale("log", base=2)
        _by_level(axes, {key: table.set_index("level")[[column]] / unit for key, table in tables.items()})
        axes.set(title=title)
        axes.yaxis.set_major_formatter(lambda value, _: f"{value:,g}")
    _legend(figure, panels[0])
    return figure


def gradients(flow: pd.DataFrame) -> Figure:
    """`gradient_flow` of several variants and seeds: means over seeds, bars from the lowest to the highest."""
    figure, (left, right) = plt.subplots(1, 2, figsize=(PAGE, 2.6))
    left.set_yscale("log")
    for axes, column, scale in ((left, "relative", 1), (right, "across", 100)):
        _by_level(axes, {key: group.pivot(index="level", columns="seed", values=column).dropna() * scale
                         for key, group in flow.groupby("variant", sort=False)})
    left.set(title="gradient of the weights, relative to their norm")
    right.set(title="features' gradient: share across the skip (%)")
    _legend(figure, left)
    return figure


def _by_level(axes: Axes, tables: dict[str, pd.DataFrame]) -> None:
    for offset, (key, table) in zip(np.linspace(-0.12, 0.12, len(tables)), tables.items()):
        x = table.index + offset
        axes.plot(x, table.mean(axis=1), color=COLORS[key], marker=MARKERS[key], ms=3.5, lw=1, label=TITLES[key])
        axes.vlines(x, table.min(axis=1), table.max(axis=1), color=COLORS[key], lw=3, alpha=0.25)
    axes.set(xlabel="level", xticks=range(max(map(len, tables.values()))))
    axes.grid(axis="y")


def _legend(figure: Figure, axes: Axes) -> None:
    handles, labels = axes.get_legend_handles_labels()
    columns = len(labels) if len(labels) < 5 else 3
    figure.legend(handles, labels, loc="outside upper left", ncols=columns, columnspacing=1.2,
                  handletextpad=0.4)


def receptive_fields(image: np.ndarray, influences: dict[str, np.ndarray]) -> Figure:
    """Receptive fields of the U-Net on the image, uint8 (H, W, 3), and the `influence` of each variant beside it."""
    titles = ["receptive fields", *(SHORT[key] for key in influences)]
    height, width = image.shape[:2]
    figure, panels = plt.subplots(1, len(titles), figsize=(PAGE, PAGE / len(titles) * height / width + 0.2))
    figure.get_layout_engine().set(w_pad=0.02, h_pad=0.02, wspace=0, hspace=0)
    fields = {key: theory.receptive_field(key).set_index("part").largest for key in influences}
    panels[0].imshow(image)
    for level, side in enumerate(fields["unet"].iloc[: DEPTH + 1]):
        _square(panels[0], side, str(level))
    _square(panels[0], fields["unet"].iloc[-1], "output")
    top = max(map(np.max, influences.values()))
    for axes, (key, share) in zip(panels[1:], influences.items()):
        axes.imshow(share, norm=LogNorm(top / 1e5, top, clip=True), cmap="magma")
        _square(axes, fields[key].iloc[-1], "")
    for axes, title in zip(panels, titles):
        axes.set(xticks=[], yticks=[])
        axes.set_title(title, loc="center", fontsize=8, pad=3)
        axes.spines[:].set_visible(False)
    return figure


def _square(axes: Axes, side: int, label: str) -> None:
    corner = [(sum(bounds) - side) / 2 for bounds in (axes.get_xlim(), axes.get_ylim())]
    axes.add_patch(Rectangle(corner, side, side, fill=False, edgecolor="white", lw=0.8))
    if side > 60:  # pixels: room for the text
        axes.annotate(label, corner, (1.5, -1.5), textcoords="offset points", color="white", fontsize=6, va="top")


def agreement(summary: pd.DataFrame, runs: Sequence[Run]) -> str:
    """Whether the closed forms are what is counted in built models and stands in run records, in a sentence."""
    same = (summary.parameters == summary.counted_parameters) & (summary.multiply_adds == summary.counted_multiply_adds)
    recorded = 0
    for run in runs:
        size = run.record["dataset"]["size"]
        form = theory.total(run.variant, run.config["base_channels"], len(run.classes), size)
        recorded += (form.parameters, form.multiply_adds) == (run.record["parameters"], run.record["multiply_adds"])
    return (f"Parameters and multiply-adds agree to the last digit in {same.sum()} of the {len(summary)} rows of "
            "@tbl-theory-costs"
            + (f", and in {recorded} of the {len(runs)} run records of this report." if runs else "."))


def ablation(base_channels: int, num_classes: int, size: tuple[int, int]) -> str:
    """What leaves with the skips, and the widths without skips that make up for it, in sentences."""
    def effect(measure: Callable[..., int], *more) -> tuple[float, int]:
        whole, width = measure("unet", base_channels, num_classes, *more), base_channels
        less = 1 - measure("unet-noskip", width, num_classes, *more) / whole
        while measure("unet-noskip", width, num_classes, *more) < whole:
            width += 1
        return less, width

    (weights, one), (work, other) = effect(theory.parameters), effect(theory.cost, size)
    return (f"At {base_channels} base channels and {size[0]} × {size[1]} pixels, removing the skips removes "
            f"{percent(weights)} of the parameters and {percent(work)} of the multiply-adds. Without skips it takes "
            f"{one} base channels to have at least the parameters of the U-Net, and {other} to have its arithmetic"
            + ("." if one == other else "; no single width restores both."))


def reach(influences: dict[str, np.ndarray]) -> str:
    """Theoretical and effective receptive field of the output, in a sentence."""
    parts = []
    for key, share in influences.items():
        sides = theory.receptive_field(key).iloc[-1][["smallest", "largest"]].unique()
        parts.append(f"{' or '.join(map(str, sides))} pixels in the {TITLES[key]}, of which the central "
                     f"{half_side(share)} have half of the influence")
    return "An output may depend on a square with a side of " + "; ".join(parts) + "."


def starting_gradients(flow: pd.DataFrame) -> str:
    """`gradient_flow` at the two ends of the encoder, in sentences."""
    mean = flow.groupby(["variant", "level"])[["relative", "across"]].mean()
    relative, across = mean.relative.unstack(), mean.across.unstack()
    plain, gated = across.loc["unet"], across.loc["unet-gated-attention"]
    ends = "; ".join(f"{relative[0][key]:.2g} and {relative[DEPTH][key]:.2g} ({TITLES[key]})" for key in VARIANTS)
    kept = relative.loc["unet-noskip"] / relative.loc["unet"]
    verdict = ("At this depth, with normalisation, the long way alone does not make the gradient vanish."
               if kept[0] > 0.1 else "The long way alone costs level 0 most of its gradient.")
    return (f"The relative gradient is, at level 0 and at the bottleneck, {ends}. Without skips level 0 receives "
            f"{kept[0]:.2f} times what it receives in the U-Net, the bottleneck {kept[DEPTH]:.2g} times. {verdict} "
            f"Across the finest skip comes {percent(plain[0])} of the features' gradient in the U-Net and "
            f"{percent(gated[0])} in the gated network, across the coarsest {percent(plain[DEPTH - 1])} "
            f"and {percent(gated[DEPTH - 1])}.")
