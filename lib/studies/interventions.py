"""What a trained network does when a part of its forward pass is changed: lesions, gates, noise.

A condition is a context manager that puts hooks on a network and takes them off again. *Zeroing* a
skip removes its features but also shifts what the decoder's normalisation is used to; *shuffling*
hands over those of the next image of the batch, so that every statistic is preserved and only the
relation to this image is lost. Both are made where the skip ends, after the gate. Noise and clutter
are added where it begins, so that a gate meets them too.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import lru_cache, partial

import torch
from torch import Tensor, nn

from lib.models import AttentionCoefficients, NoSkip, UNet
from lib.studies import Change, at_inputs, at_outputs

INPUT_NOISE = (0.01, 0.03, 0.1)  # standard deviation, in units of the image's range of 1
SKIP_NOISE = (1.0, 2.0, 4.0)  # standard deviation, in units of that of each channel in this image
CLUTTER = (0.25, 0.5, 0.75)  # share of another image's features in the mixture

Condition = Callable[[UNet], AbstractContextManager]


# Changes of a tensor (B, C, H, W).


def other(x: Tensor) -> Tensor:
    """Return what belongs to the next image of the batch."""
    if len(x) < 2:
        raise ValueError("a batch of one image holds no other image: take at least two")
    return x.roll(1, 0)


def mean(x: Tensor) -> Tensor:
    """Return the mean over the batch, everywhere."""
    return x.mean().expand_as(x)


def image_mean(x: Tensor) -> Tensor:
    """Return the mean over each image's channels and pixels, everywhere in it."""
    return x.mean((1, 2, 3), keepdim=True).expand_as(x)


def permuted(x: Tensor, seed: int = 0) -> Tensor:
    """Return x with each image's pixels in a random order of its own, one for all its channels."""
    pixels = x[0, 0].numel()
    generator = torch.Generator().manual_seed(seed + pixels)
    order = torch.rand(len(x), pixels, generator=generator).argsort(1).to(x.device)
    return x.flatten(2).gather(2, order[:, None].expand(-1, x.shape[1], -1)).view(x.shape)


@lru_cache(maxsize=16)  # the levels of a network in two sizes of batches
def _gaussian(shape: torch.Size, device: torch.device) -> Tensor:
    generator = torch.Generator().manual_seed(shape[1:].numel())
    return torch.randn(shape, generator=generator).to(device)


def add_noise(x: Tensor, strength: float, scale: float | None = None) -> Tensor:
    """Add the same Gaussian noise at every call, `strength` times `scale` or each channel's own."""
    if scale is None:
        scale = x.std((2, 3), keepdim=True)  # (B, C, 1, 1)
    return x + strength * _gaussian(x.shape, x.device).to(x.dtype) * scale


def mix_clutter(x: Tensor, share: float) -> Tensor:
    """Mix in that share of the next image's features."""
    return (1 - share) * x + share * other(x)


# Where a network is changed.


def intact(model: UNet) -> AbstractContextManager:
    """Change nothing."""
    return nullcontext()


def seeing(model: UNet, change: Change) -> AbstractContextManager:
    """Change the image."""
    return at_inputs([model], change)


def entering(model: UNet, change: Change) -> AbstractContextManager:
    """Change the encoder's features where the skips take them, not the gating signal."""
    return at_inputs(model.skips, change)


def leaving(model: UNet, levels: Sequence[int], change: Change) -> AbstractContextManager:
    """Change what the skips of these levels hand to the decoder."""
    return at_outputs([model.skips[level] for level in levels], change)


def gating(model: UNet, change: Change) -> AbstractContextManager:
    """Change the coefficients of every gate, (B, 1, H, W)."""
    return at_outputs(_gates_of(model), change)


def _gates_of(model: UNet) -> list[nn.Module]:
    return [module for module in model.modules() if isinstance(module, AttentionCoefficients)]


class _Saved(nn.Module):
    """Stands for a block whose output is known."""

    def __init__(self, features: Tensor):
        super().__init__()
        self.features = features

    def forward(self, x: Tensor) -> Tensor:
        return self.features


@contextmanager
def saved_features(model: UNet, features: Sequence[Tensor]) -> Iterator[None]:
    """Make the encoder return these features, finest first, which it computed of the same images.

    What happens after the encoder can then be changed again and again at half the cost.
    """
    encoder = model.encoder
    model.encoder = nn.ModuleList(_Saved(level) for level in features)
    try:
        yield
    finally:
        model.encoder = encoder


@contextmanager
def reading_features(model: UNet) -> Iterator[list[Tensor]]:
    """Collect the features of every level of the encoder during one forward pass, finest first."""
    features: list[Tensor] = []
    with at_outputs(model.encoder, features.append):
        yield features


# The conditions of the study, by name.


def changes_the_image(name: str) -> bool:
    """Return whether the condition of this name changes the image."""
    return name.startswith("input noise")


def has_skips(model: UNet) -> bool:
    """Return whether anything crosses from the encoder to the decoder."""
    return not all(isinstance(skip, NoSkip) for skip in model.skips)


def lesions(model: UNet) -> dict[str, Condition]:
    """Return each skip, and all of them, zeroed and shuffled; {} for a network without skips."""
    if not has_skips(model):
        return {}
    levels = {str(level): (level,) for level in range(model.depth)}
    levels["all"] = tuple(range(model.depth))
    conditions = {}
    for name, change in {"zero": torch.zeros_like, "shuffle": other}.items():
        for where, cut in levels.items():
            conditions[f"{name} {where}"] = partial(leaving, levels=cut, change=change)
    return conditions


def perturbations(model: UNet) -> dict[str, Condition]:
    """Return other coefficients in the gates, noise on the image, noise and clutter on skips."""
    conditions = {}
    for strength in INPUT_NOISE:
        change = partial(add_noise, strength=strength, scale=1.0)
        conditions[f"input noise {strength}"] = partial(seeing, change=change)
    if has_skips(model):
        for strength in SKIP_NOISE:
            change = partial(add_noise, strength=strength)
            conditions[f"skip noise {strength}"] = partial(entering, change=change)
        for share in CLUTTER:
            change = partial(mix_clutter, share=share)
            conditions[f"clutter {share}"] = partial(entering, change=change)
    if _gates_of(model):
        changes = {"one": torch.ones_like, "mean": mean, "other": other, "permuted": permuted}
        for name, change in changes.items():
            conditions[f"alpha {name}"] = partial(gating, change=change)
    return conditions
