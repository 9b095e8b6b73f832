"""What our training is measured against: the loop that tutorials show, and other libraries' networks in that loop.

The loop: a `DataLoader` that augments image by image with torchvision, float32 or PyTorch's automatic mixed precision,
channels first, no compiler, plain AdamW, the loss read after every step. The networks are those of
`segmentation_models_pytorch` and `monai` where these are installed; neither is required.
"""

import importlib
from collections.abc import Callable, Iterable
from importlib.metadata import version
from importlib.util import find_spec

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.data import DataLoader
from torchvision import tv_tensors
from torchvision.transforms import v2

from lib.classes import IGNORE
from lib.data import Dataset
from lib.machine import processors
from lib.models import multiply_adds

WORKERS = 8  # of the loader beside a GPU; on a CPU they would only take turns with the training


class Textbook:
    """An epoch of the loop: `Textbook(...)()` trains on `data` once."""

    def __init__(self, model: nn.Module, data: Dataset, batch: int, device: torch.device, mixed: bool):
        self.model, self.device, self.mixed = model.to(device), device, mixed
        on_gpu = device.type == "cuda"
        workers = min(WORKERS, processors()) if on_gpu else 0
        self.loader = DataLoader(_Augmented(data), batch, shuffle=True, drop_last=True, num_workers=workers,
                                 pin_memory=on_gpu, persistent_workers=workers > 0)
        self.optimiser = torch.optim.AdamW(model.parameters(), 0.001)
        self.scaler = torch.amp.GradScaler(device.type, enabled=mixed and on_gpu)

    def __call__(self) -> float:
        """The mean loss."""
        self.model.train()
        total = 0.0
        for image, target in self.loader:
            image, target = image.to(self.device), target.to(self.device)
            with torch.autocast(self.device.type, enabled=self.mixed):
                loss = F.cross_entropy(self.model(image), target, ignore_index=IGNORE)
            self.optimiser.zero_grad()
            self.scaler.scale(loss).backward()
            self.scaler.step(self.optimiser)
            self.scaler.update()
            total += loss.item()
        return total / len(self.loader)


class _Augmented(torch.utils.data.Dataset):
    """Zoom and crop, flip and a change of light, one image at a time."""

    def __init__(self, data: Dataset):
        self.data, size = data, data.targets.shape[1:]
        self.transform = v2.Compose([
            v2.RandomResizedCrop(size, scale=(0.5, 1.0), antialias=True), v2.RandomHorizontalFlip(),
            v2.ColorJitter(0.2, 0.2), v2.ToDtype({tv_tensors.Image: torch.float32, tv_tensors.Mask: torch.int64}, scale=True)])

    def __len__(self) -> int:
        return len(self.data)

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        image, mask = tv_tensors.Image(self.data.images[index]), tv_tensors.Mask(self.data.targets[index])
        image, mask = self.transform(image, mask)
        return image.as_subclass(Tensor), mask.as_subclass(Tensor)


class Padded(nn.Module):
    """A network that takes sides in multiples of 32 alone, on images of any size."""

    def __init__(self, network: nn.Module):
        super().__init__()
        self.network = network

    def forward(self, image: Tensor) -> Tensor:
        """(B, 3, H, W) -> (B, K, H, W)"""
        height, width = image.shape[-2:]
        return self.network(F.pad(image, (0, -width % 32, 0, -height % 32), mode="replicate"))[..., :height, :width]


def _smp(classes: int, width: int) -> nn.Module:
    unet = importlib.import_module("segmentation_models_pytorch").Unet
    return Padded(unet("resnet34", encoder_weights=None, classes=classes,
                       decoder_channels=[16 * width, 8 * width, 4 * width, 2 * width, width]))


def _monai(classes: int, width: int) -> nn.Module:
    unet = importlib.import_module("monai.networks.nets").BasicUNet
    return unet(2, 3, classes, features=(width, 2 * width, 4 * width, 8 * width, 16 * width, width))


PEERS: dict[str, tuple[str, Callable[[int, int], nn.Module], Iterable[int]]] = {  # name -> package, network, its widths
    "U-Net on ResNet-34": ("segmentation_models_pytorch", _smp, (4, 8, 16, 24, 32, 48, 64, 80, 96, 112)),
    "BasicUNet": ("monai", _monai, (2, 4, 8, 16, 24, 32, 48, 64, 80, 96, 128)),
}


def installed() -> dict[str, str]:
    """Name of the peer -> package and version, of those that are there."""
    return {name: f"{package} {version(package)}" for name, (package, *_) in PEERS.items() if find_spec(package)}


def peer(name: str, classes: int, size: tuple[int, int], arithmetic: int) -> nn.Module:
    """The peer's network, of the width whose multiply-adds of a forward pass come closest to `arithmetic`."""
    _, make, widths = PEERS[name]

    def distance(width: int) -> float:
        with torch.device("meta"):
            return abs(multiply_adds(make(classes, width).eval(), size) - arithmetic)

    return make(classes, min(widths, key=distance))
