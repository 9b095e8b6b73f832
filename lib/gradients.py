"""How the gradient reaches every level while a network is trained: norms at a few fixed steps.

For each block the convolutions' weights are taken as one vector w. Recorded are the norm of its gradient, of w itself,
and of the update that the optimiser makes of the gradient; the ratios |gradient| / |w| and |update| / |w| are what the
theory chapter reads. Nothing waits for the device: the norms stay there until they are asked for. Observing changes no
bit of the training.
"""

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.utils import get_total_norm

SAMPLES = 24  # steps of a training at which norms are taken, evenly spaced, the first and the last among them
NORMS = ("gradient", "weight", "update")


def blocks(model: nn.Module) -> dict[str, list[Tensor]]:
    """The convolution weights of every block, in the order of the forward pass: "encoder 0", ..., "decoder 0"."""
    named = [(f"encoder {level}", block) for level, block in enumerate(model.encoder)]
    named += [(f"decoder {level}", block) for level, block in reversed(list(enumerate(model.decoder)))]
    return {name: [w for w in block.parameters() if w.ndim == 4] for name, block in named}


class GradientLog:
    """The norms of one training: `with log.step(n): optimiser.step()`, n counting from 0."""

    def __init__(self, model: nn.Module, total_steps: int):
        self.weights = blocks(model)
        self.chosen = set(np.linspace(0, total_steps - 1, min(SAMPLES, total_steps)).round().astype(int).tolist())
        self.taken: dict[int, Tensor] = {}  # step -> (3, blocks)

    @contextmanager
    def step(self, number: int) -> Iterator[None]:
        """Around the optimiser's step, after the backward pass."""
        if number not in self.chosen:
            yield
            return
        before = [[w.detach().clone() for w in weights] for weights in self.weights.values()]
        gradient = [get_total_norm([w.grad for w in weights]) for weights in self.weights.values()]
        yield
        update = [get_total_norm([w.detach() - old for w, old in zip(weights, olds)])
                  for weights, olds in zip(self.weights.values(), before)]
        self.taken[number] = torch.stack([torch.stack(norms) for norms in (gradient, [*map(get_total_norm, before)], update)])

    def state_dict(self) -> dict:
        return {"taken": {number: norms.cpu() for number, norms in self.taken.items()}}

    def load_state_dict(self, state: dict) -> None:
        self.taken = dict(state["taken"])

    def arrays(self) -> dict[str, np.ndarray]:
        """steps (S,), blocks (L,) by name, and each of `NORMS` as float32 (S, L)."""
        steps = sorted(self.taken)
        norms = np.array([self.taken[step].cpu().numpy() for step in steps]).reshape(-1, len(NORMS), len(self.weights))
        columns = {name: norms[:, index] for index, name in enumerate(NORMS)}
        return {"steps": np.array(steps), "blocks": np.array(list(self.weights)), **columns}

