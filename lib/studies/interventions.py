"""What a trained network does when one part of its forward pass is changed: lesions, other gates, noise.

A condition is a context manager that puts hooks on a network and takes them off again; the network itself stays as it
is. *Zeroing* a skip removes its features but also shifts what the decoder's normalisation is used to; *shuffling* hands
over those of another image, so that every statistic is kept and only the relation to this image is lost. Both are made
where the skip ends, after the gate. Noise and clutter are added where it begins, so that a gate meets them too.

Another image means the next one of the same batch; a batch has at least two images.
"""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from functools import partial

import torch
from torch import Tensor

from lib.models import AttentionCoefficients, NoSkip, UNet

INPUT_NOISE = (0.01, 0.03, 0.1)  # standard deviation, in units of the image's range of 1
SKIP_NOISE = (1.0, 2.0, 4.0)  # standard deviation, in units of that of each channel in this image
CLUTTER = (0.25, 0.5, 0.75)  # share of another image's features in the mixture

Change = Callable[[Tensor], Tensor]
Condition = Callable[[UNet], AbstractContextManager]


def other(x: Tensor) -> Tensor:
    """What belongs to the next image of the batch."""
    if len(x) < 2:
        raise ValueError("a batch of one image holds no other image: take at least two")
    return x.roll(1, 0)


def mean(x: Tensor) -> Tensor:
    """The mean over the batch, everywhere."""
    return x.mean().expand_as(x)


def noise(x: Tensor, strength: float, scale: float | None = None) -> Tensor:
    """Gaussian noise, the same at every call: `strength` times `scale`, or times each channel's deviation (B, C, 1, 1)."""
    drawn = torch.randn(x.shape, generator=torch.Generator().manual_seed(x[0].numel())).to(x)
    return x + strength * drawn * (x.std((2, 3), keepdim=True) if scale is None else scale)


def clutter(x: Tensor, share: float) -> Tensor:
    return (1 - share) * x + share * other(x)


@contextmanager
def leaving(model: UNet, levels: tuple[int, ...], change: Change) -> Iterator[None]:
    """Changes what the skips of these levels hand to the decoder."""
    with _hooks(model.skips[level].register_forward_hook(lambda skip, inputs, output: change(output))
                for level in levels):
        yield


@contextmanager
def entering(model: UNet, change: Change) -> Iterator[None]:
    """Changes the encoder's features where the skips take them; the gating signal and the way down stay."""
    with _hooks(skip.register_forward_pre_hook(lambda skip, inputs: (change(inputs[0]), *inputs[1:]))
                for skip in model.skips):
        yield


@contextmanager
def gating(model: UNet, change: Change) -> Iterator[None]:
    """Changes the coefficients of every gate, (B, 1, H, W)."""
    gates = [module for module in model.skips.modules() if isinstance(module, AttentionCoefficients)]
    with _hooks(gate.register_forward_hook(lambda gate, inputs, alpha: change(alpha)) for gate in gates):
        yield


@contextmanager
def seeing(model: UNet, change: Change) -> Iterator[None]:
    """Changes the image."""
    with _hooks([model.register_forward_pre_hook(lambda model, inputs: (change(inputs[0]),))]):
        yield


@contextmanager
def intact(model: UNet) -> Iterator[None]:
    yield


@contextmanager
def _hooks(handles: Iterator) -> Iterator[None]:
    with ExitStack() as stack:
        for handle in handles:
            stack.callback(handle.remove)
        yield


def has_skips(model: UNet) -> bool:
    return not all(isinstance(skip, NoSkip) for skip in model.skips)


def lesions(model: UNet) -> dict[str, Condition]:
    """Each skip, and all of them, zeroed and shuffled; {} for a network without skips."""
    levels = {str(level): (level,) for level in range(model.depth)} | {"all": tuple(range(model.depth))}
    return {f"{name} {where}": partial(leaving, levels=chosen, change=change) for name, change in
            (("zero", torch.zeros_like), ("shuffle", other)) for where, chosen in levels.items()} if has_skips(model) else {}


def disturbances(model: UNet) -> dict[str, Condition]:
    """Other coefficients in the gates; noise on the image; noise and clutter on the skips."""
    found = {f"input noise {s}": partial(seeing, change=partial(noise, strength=s, scale=1.0)) for s in INPUT_NOISE}
    if has_skips(model):
        found |= {f"skip noise {s}": partial(entering, change=partial(noise, strength=s)) for s in SKIP_NOISE}
        found |= {f"clutter {s}": partial(entering, change=partial(clutter, share=s)) for s in CLUTTER}
    if any(isinstance(module, AttentionCoefficients) for module in model.modules()):
        found |= {f"alpha {name}": partial(gating, change=change)
                  for name, change in (("one", torch.ones_like), ("mean", mean), ("other", other))}
    return found
