"""The data of a training by its configuration; the work is done in `lib.datasets`."""

from lib.config import TrainConfig
from lib.datasets.batches import Augment, Feed
from lib.datasets.dataset import Dataset, as_image, evenly_spaced, load_dataset
from lib.datasets.pairs import SPLITS, Root

__all__ = ["SPLITS", "Augment", "Dataset", "Feed", "Root", "as_image", "evenly_spaced",
           "load_dataset", "load_split", "load_splits"]


def load_split(config: TrainConfig, split: str, data_root: Root = None) -> Dataset:
    """Return that split of the configured data set."""
    limit = getattr(config, f"{split}_images")
    return load_dataset(config.dataset, data_root, split, config.image_size, limit)


def load_splits(config: TrainConfig, data_root: Root = None) -> dict[str, Dataset]:
    """Return train, val and test of the configured data set by name."""
    return {split: load_split(config, split, data_root) for split in SPLITS}
