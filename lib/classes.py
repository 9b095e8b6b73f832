"""The class tables: index, name and colour of every class, once per data set.

Nothing else in the project knows how many classes there are or what they look like.
"""

import re
from dataclasses import dataclass

import numpy as np
from torchvision.datasets import Cityscapes

SIGN = re.compile(r"(?:\b|_)(?i:sign)|(?<=[a-z])Sign")  # of a road sign or a SignSymbol, not of a design
IGNORE = 255  # void: no loss, no score, drawn black


@dataclass(frozen=True)
class ClassTable:
    """Names and RGB colours in the order of the class index."""

    names: tuple[str, ...]
    colors: tuple[tuple[int, int, int], ...]

    def __post_init__(self):
        if len(self.names) != len(self.colors) or not 1 < len(self.names) <= IGNORE:
            raise ValueError(
                f"a class table needs one colour for each of 2 to {IGNORE} names: "
                f"got {len(self.names)} names and {len(self.colors)} colours"
            )

    def __len__(self) -> int:
        return len(self.names)

    @property
    def palette(self) -> np.ndarray:
        """uint8 (256, 3): the colour of every label value; values without a class are black."""
        palette = np.zeros((256, 3), np.uint8)
        palette[: len(self)] = self.colors
        return palette

    @property
    def signs(self) -> list[int]:
        """The classes of signs, if there are any: a word in their name begins with "sign"."""
        return [index for index, name in enumerate(self.names) if SIGN.search(name)]


def _table(*rows: tuple) -> ClassTable:
    return ClassTable(tuple(name for name, *_ in rows), tuple(tuple(color) for _, *color in rows))


# The first thirteen tags of CARLA (Dosovitskiy et al. 2017), in their order and palette; the sky is Unlabeled.
CARLA = _table(
    ("Unlabeled", 0, 0, 0),
    ("Building", 70, 70, 70),
    ("Fence", 100, 40, 40),
    ("Other", 55, 90, 80),
    ("Pedestrian", 220, 20, 60),
    ("Pole", 153, 153, 153),
    ("Roadline", 157, 234, 50),
    ("Road", 128, 64, 128),
    ("Sidewalk", 244, 35, 232),
    ("Vegetation", 107, 142, 35),
    ("Car", 0, 0, 142),
    ("Wall", 102, 102, 156),
    ("Traffic sign", 220, 220, 0),
)
SCENES = CARLA

# CamVid's eleven classes (Brostow et al. 2009) as Badrinarayanan et al. (2017) grouped them.
CAMVID = _table(
    ("Sky", 128, 128, 128),
    ("Building", 128, 0, 0),
    ("Pole", 192, 192, 128),
    ("Road", 128, 64, 128),
    ("Pavement", 60, 40, 222),
    ("Tree", 128, 128, 0),
    ("SignSymbol", 192, 128, 128),
    ("Fence", 64, 64, 128),
    ("Car", 64, 0, 128),
    ("Pedestrian", 64, 64, 0),
    ("Bicyclist", 0, 128, 192),
)

# The nineteen classes of Cityscapes that are scored (Cordts et al. 2016), in the order of their training ids.
CITYSCAPES = _table(*((c.name.capitalize(), *c.color) for c in sorted(Cityscapes.classes, key=lambda c: c.train_id)
                      if not c.ignore_in_eval))

TABLES = {"scenes": SCENES, "camvid": CAMVID, "carla": CARLA, "cityscapes": CITYSCAPES}  # known without files


def family(dataset: str) -> str:
    """The data set that another one is a form of: "camvid" of "camvid-without-0001TP"."""
    return dataset.split("-")[0]
