"""What a class table is: name and colour of every class in the order of the index; and the label that is void.

Each data set's own table stands in its file in `lib.datasets`, that of the drawn scenes in `lib.scenes.objects`.
"""

import re
from dataclasses import dataclass

import numpy as np

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


def class_table(*rows: tuple) -> ClassTable:
    """Return the table of rows (name, red, green, blue)."""
    return ClassTable(tuple(name for name, *_ in rows), tuple(tuple(color) for _, *color in rows))


def family(dataset: str) -> str:
    """The data set that another one is a form of: "camvid" of "camvid-without-0001TP"."""
    return dataset.split("-")[0]
