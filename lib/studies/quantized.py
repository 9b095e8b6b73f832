"""A trained U-Net in eight bits a weight, small enough for a web page.

    python -m lib.studies.quantized RUN --out FILE [--data-root DIR]

RUN is the folder of a run with its weights; FILE, an .npz, receives

    weights                      int8, of every convolution in the order of the forward pass
    scales, biases               float32, one for each output channel, in the same order
    base_channels, num_classes   which network it is
    seed                         of the run
    confusions                   int64 (2, K, K): on the test set, as trained and in eight bits

Batch normalisation is folded into the convolution before it: in evaluation both are one affine
map. A weight is its integer times the scale of its output channel, whose largest weight becomes
127 (Jacob et al. 2018, symmetric and per channel). Activations stay floating point.
"""

import argparse
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from lib.files import write_arrays
from lib.machine import Machine
from lib.metrics import mean_iou
from lib.models import UNet, build_model
from lib.records import Run
from lib.studies import Arrays, load_model, split_of, test_again

VARIANT = "unet"  # the network whose only layers are those that `layers` lists
LARGEST = 127  # of the integers
Convolution = nn.Conv2d | nn.ConvTranspose2d


def layers(model: UNet) -> Iterator[tuple[Convolution, nn.BatchNorm2d | None]]:
    """Yield each convolution of a plain U-Net, in the order of the pass, and what normalises it."""
    for block in model.encoder:
        yield from ((block[0], block[1]), (block[3], block[4]))
    for level in reversed(range(model.depth)):
        block = model.decoder[level]
        yield from ((model.ups[level], None), (block[0], block[1]), (block[3], block[4]))
    yield model.head, None


def folded(convolution: Convolution, normalisation: nn.BatchNorm2d | None) -> tuple[Tensor, Tensor]:
    """Return the weights and biases of one convolution that does what both do."""
    if normalisation is not None:
        convolution = fuse_conv_bn_eval(convolution, normalisation)
    return convolution.weight, convolution.bias


def _per_output(convolution: Convolution, values: Tensor) -> Tensor:
    """Shape values (O,) so that they multiply the weights of each output channel."""
    transposed = isinstance(convolution, nn.ConvTranspose2d)
    return values.view(-1, 1, 1) if transposed else values.view(-1, 1, 1, 1)


def largest_weights(convolution: Convolution, weights: Tensor) -> Tensor:
    """Return the largest magnitude among the weights of each output channel, (O,)."""
    inputs = 0 if isinstance(convolution, nn.ConvTranspose2d) else 1
    return weights.abs().amax((inputs, 2, 3))


@torch.no_grad()
def quantise(run: Run) -> tuple[UNet, Arrays]:
    """Return the network of a run, and what the file has of it; ValueError if it is no U-Net."""
    if run.variant != VARIANT:
        raise ValueError(f"{run.folder}: only the network {VARIANT!r} can be quantised")
    base_channels, num_classes = run.config["base_channels"], len(run.classes)
    model = load_model(run.folder, run.variant, base_channels, num_classes)
    weights, scales, biases = [], [], []
    for convolution, normalisation in layers(model):
        weight, bias = folded(convolution, normalisation)
        scale = largest_weights(convolution, weight).clamp(min=1e-12) / LARGEST
        integers = torch.round(weight / _per_output(convolution, scale))
        weights.append(integers.to(torch.int8).flatten())
        scales.append(scale)
        biases.append(bias)
    parts = {"weights": weights, "scales": scales, "biases": biases}
    sizes = {"base_channels": base_channels, "num_classes": num_classes, "seed": run.seed}
    stored = {name: torch.cat(part).numpy() for name, part in parts.items()}
    return model, stored | {name: np.array(size) for name, size in sizes.items()}


@torch.no_grad()
def restore(stored: Arrays) -> UNet:
    """Return the U-Net with the quantised weights; its normalisation adds the biases alone."""
    sizes = {name: int(stored[name]) for name in ("base_channels", "num_classes")}
    model = build_model(VARIANT, **sizes).eval()
    chain = list(layers(model))
    outputs = [convolution.out_channels for convolution, _ in chain]
    weights = torch.from_numpy(stored["weights"]).split([c.weight.numel() for c, _ in chain])
    scales = torch.from_numpy(stored["scales"]).split(outputs)
    biases = torch.from_numpy(stored["biases"]).split(outputs)
    for (convolution, normalisation), weight, scale, bias in zip(chain, weights, scales, biases):
        integers = weight.view(convolution.weight.shape)
        convolution.weight.copy_(integers * _per_output(convolution, scale))
        if normalisation is None:
            convolution.bias.copy_(bias)
        else:
            normalisation.bias.copy_(bias)
            normalisation.weight.fill_((1 + normalisation.eps) ** 0.5)  # its variance is 1
    return model


def main(arguments: list[str] | None = None) -> int:
    """Run the command line and return the exit status: 1 for a run that cannot be quantised."""
    program, summary = "python -m lib.studies.quantized", __doc__.splitlines()[0]
    parser = argparse.ArgumentParser(program, description=summary)
    parser.add_argument("run", type=Path, metavar="RUN", help="the folder of a run")
    parser.add_argument("--out", type=Path, metavar="FILE", required=True, help="the .npz to write")
    parser.add_argument("--data-root", metavar="DIR", help="the folder that holds the data set")
    options = parser.parse_args(arguments)
    try:
        run = Run.read(options.run)
        model, stored = quantise(run)
        test = split_of(run, "test", options.data_root)
    except (ValueError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    machine, networks = Machine.detect(), (model, restore(stored))
    tests = [test_again(machine.place(network), test, machine) for network in networks]
    confusions = np.stack([counts.sum(0) for counts, _ in tests])
    write_arrays(options.out, **stored, confusions=confusions)
    before, after = 100 * mean_iou(confusions)
    size = options.out.stat().st_size / 1e6
    print(f"{options.out}: {size:.2f} MB; test mIoU {before:.2f} % as trained, {after:.2f} % here")
    return 0


if __name__ == "__main__":
    sys.exit(main())
