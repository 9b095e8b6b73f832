"""The colours that classes have in every picture and chart, and the order in which they are named.

The palettes that data sets come with were made to be told apart by programs: CamVid's car and fence
are two dark blues. Those of known data sets are therefore replaced here, by colours that stay apart
for colour-blind readers too; a user's own classes have the colours that they came with.
"""

from dataclasses import replace

import numpy as np
from matplotlib.colors import to_rgb

from lib.files import ClassTable
from lib.datasets.camvid import CLASSES as CAMVID
from lib.scenes import CLASSES as SCENES

SKY, PAVEMENT, TREE, SIGN = "#a6d0fa", "#cb90ec", "#22861c", "#fff338"
COLORS = {
    "Sky": SKY, "Unlabeled": SKY, "Building": "#86868e", "Road": "#33215a", "Pavement": PAVEMENT,
    "Sidewalk": PAVEMENT, "Tree": TREE, "Vegetation": TREE, "Car": "#1f35ee", "Fence": "#8c2a06",
    "Pole": "#ffa400", "SignSymbol": SIGN, "Traffic sign": SIGN, "Pedestrian": "#bc0078",
    "Bicyclist": "#00dca8", "Other": "#155f5e", "Roadline": "#fefefe", "Wall": "#450a16",
}  # fmt: skip


def displayed(classes: ClassTable) -> ClassTable:
    """Return the classes with the colours that they have in figures."""
    if classes not in (CAMVID, SCENES):
        return classes
    colors = [(255 * np.array(to_rgb(COLORS[name]))).round().astype(int) for name in classes.names]
    return replace(classes, colors=tuple(tuple(color.tolist()) for color in colors))
