"""What our training is measured against: the loop of tutorials, and other libraries' networks.

The loop reads a `DataLoader` that augments image by image with torchvision, computes in float32 or
PyTorch's automatic mixed precision, with channels first, no compiler and plain AdamW, and reads the
loss after every step. The networks are those of `segmentation_models_pytorch` and `monai` where
these are installed; neither is required.
"""

import importlib
from collections.abc import Callable
from importlib.metadata import version
from importlib.util import find_spec

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.data import DataLoader
from torchvision import tv_tensors
from torchvision.transforms import v2

from lib.data import Dataset
from lib.files import IGNORE
from lib.machine import processors
from lib.models import multiply_adds

WORKERS = 8  # of the loader beside a GPU; on a CPU they would only take turns with the training
AUGMENT = v2.Compose([
    v2.RandomHorizontalFlip(),
    v2.ColorJitter(0.2, 0.2),
    v2.ToDtype({tv_tensors.Image: torch.float32, tv_tensors.Mask: torch.int64}, scale=True),
])


def textbook(
    model: nn.Module, data: Dataset, batch: int, device: torch.device, mixed: bool,
    rate: float = 0.001,
) -> Callable[[], float]:
    """Return a function that trains the model on the data once and returns the mean loss."""
    model, on_gpu = model.to(device), device.type == "cuda"
    workers = min(WORKERS, processors()) if on_gpu else 0
    loader = DataLoader(
        _Augmented(data), batch, shuffle=True, drop_last=True, num_workers=workers,
        pin_memory=on_gpu, persistent_workers=workers > 0)
    optimiser = torch.optim.AdamW(model.parameters(), rate)
    scaler = torch.amp.GradScaler(device.type, enabled=mixed and on_gpu)

    def epoch() -> float:
        model.train()
        total = 0.0
        for image, target in loader:
            image, target = image.to(device), target.to(device)
            with torch.autocast(device.type, enabled=mixed):
                loss = F.cross_entropy(model(image), target, ignore_index=IGNORE)
            optimiser.zero_grad()
            scaler.scale(loss).backward()
            scaler.step(optimiser)
            scaler.update()
            total += loss.item()
        return total / len(loader)

    return epoch


class _Augmented(torch.utils.data.Dataset):
    """Zoom and crop, flip and a change of light, one image at a time."""

    def __init__(self, data: Dataset):
        self.data = data
        self.crop = v2.RandomResizedCrop(data.targets.shape[1:], scale=(0.5, 1.0))

    def __len__(self) -> int:
        return len(self.data)

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        image = tv_tensors.Image(self.data.images[index])
        mask = tv_tensors.Mask(self.data.targets[index])
        image, mask = AUGMENT(*self.crop(image, mask))
        return image.as_subclass(Tensor), mask.as_subclass(Tensor)


class Padded(nn.Module):
    """A network that takes sides in multiples of 32 alone, on images of any size."""

    def __init__(self, network: nn.Module):
        super().__init__()
        self.network = network

    def forward(self, image: Tensor) -> Tensor:
        """image (B, 3, H, W) -> logits (B, K, H, W)"""
        height, width = image.shape[-2:]
        padded = F.pad(image, (0, -width % 32, 0, -height % 32), mode="replicate")
        return self.network(padded)[..., :height, :width]


def _resnet_unet(package, classes: int, width: int) -> nn.Module:
    channels = [16 * width, 8 * width, 4 * width, 2 * width, width]
    return Padded(package.Unet(
        "resnet34", encoder_weights=None, classes=classes, decoder_channels=channels))


def _basic_unet(package, classes: int, width: int) -> nn.Module:
    channels = [width, 2 * width, 4 * width, 8 * width, 16 * width, width]
    return package.networks.nets.BasicUNet(2, 3, classes, features=channels)


# Name -> package, network of a width, and the widths to choose from.
PEERS = {
    "U-Net on ResNet-34": (
        "segmentation_models_pytorch", _resnet_unet, (4, 8, 16, 24, 32, 48, 64, 80, 96, 112)),
    "BasicUNet": ("monai", _basic_unet, (2, 4, 8, 16, 24, 32, 48, 64, 80, 96, 128)),
}


def installed() -> dict[str, str]:
    """Return package and version of each of `PEERS` that is installed."""
    packages = {name: package for name, (package, _, _) in PEERS.items() if find_spec(package)}
    return {name: f"{package} {version(package)}" for name, package in packages.items()}


def peer(name: str, classes: int, size: tuple[int, int], arithmetic: int) -> nn.Module:
    """Return that network in the width that comes nearest to so many multiply-adds on (H, W)."""
    package, make, widths = PEERS[name]
    package = importlib.import_module(package)

    def distance(width: int) -> float:
        with torch.device("meta"):
            return abs(multiply_adds(make(package, classes, width).eval(), size) - arithmetic)

    return make(package, classes, min(widths, key=distance))
