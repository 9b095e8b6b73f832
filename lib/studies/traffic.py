"""The bytes that a training step moves, counted on tensors without content."""

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from lib.models import UNet

OPTIMISER = 28  # bytes per parameter: AdamW reads four numbers and writes three


class Traffic(TorchDispatchMode):
    """Add up the bytes that operations have to move beside the convolutions, as if fused well.

    A convolution moves its maps while it computes and counts nothing here. An elementwise operation
    joins the pass over its first operand and counts what else it reads. Everything else reads its
    inputs and writes its results; a normalisation reads them once more, for its statistics.
    """

    def __init__(self):
        super().__init__()
        self.bytes = 0

    def __torch_dispatch__(self, operation, types, args=(), kwargs=None):
        result = operation(*args, **(kwargs or {}))
        inputs = [leaf.nbytes for leaf in tree_leaves((args, kwargs)) if isinstance(leaf, Tensor)]
        outputs = [leaf.nbytes for leaf in tree_leaves(result) if isinstance(leaf, Tensor)]
        name = operation.name()
        if torch.Tag.pointwise in operation.tags:
            self.bytes += sum(inputs[1:])
        elif not operation.is_view and "convolution" not in name:
            self.bytes += sum(inputs) + sum(outputs)
        if "batch_norm" in name:
            self.bytes += sum(inputs)
        return result


def moved_bytes(model: UNet, batch: int, size: tuple[int, int], classes: int, short: bool) -> int:
    """Return the bytes that a training step moves beside its convolutions; see `Traffic`.

    Images are (H, W); `short` keeps maps in bfloat16. Nothing is computed: the step is run on
    tensors without content.
    """
    parameters = sum(parameter.numel() for parameter in model.parameters())
    model = model.to("meta", torch.bfloat16 if short else torch.float32).train()
    image = torch.empty(batch, 3, *size, device="meta", dtype=next(model.parameters()).dtype)
    target = torch.empty(batch, *size, device="meta", dtype=torch.int64)
    with Traffic() as traffic:
        F.cross_entropy(model(image).float(), target).backward()
    return traffic.bytes + OPTIMISER * parameters
