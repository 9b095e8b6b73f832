"""The stage of a scene: its classes, materials and colours, and the polygons that stand on it.

Street coordinates, in metres: s to the right of the centre line, y up from the ground, z ahead of
the camera. A polygon carries one class, one linear RGB albedo and one material; whatever is finer
(windows, bricks, leaves) is a texture that `lib.scenes.surfaces` computes per sample.
"""

from enum import IntEnum

import numpy as np
from PIL import ImageColor

from lib.files import ClassTable

# The first thirteen tags of CARLA (Dosovitskiy et al. 2017), in their order and palette; the sky is
# Unlabeled.
CLASSES = ClassTable.of(
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

NAMES = [name.upper().replace(" ", "_") for name in CLASSES.names]
Label = IntEnum("Label", NAMES, start=0)
Material = IntEnum("Material", "FLAT FACADE MASONRY FOLIAGE GLOW", start=0)
ANGLES = np.linspace(0, 2 * np.pi, 10)[:-1]
RING = np.stack([np.cos(ANGLES), np.sin(ANGLES)], 1)


def linear(colours: str) -> np.ndarray:
    """Return the linear albedo of display colours such as "#ff8000", (3,), or of several, (n, 3).

    A display gamma of 2 is near enough and cheap.
    """
    display = [ImageColor.getrgb(colour) for colour in colours.split()]
    albedo = (np.array(display, np.float32) / 255) ** 2
    return albedo if len(albedo) > 1 else albedo[0]


METAL, DARK, BARK, WHITE = linear("#707478 #1e1f22 #544436 #ecece6")
CAR_PAINT = linear(
    "#dcdcda #c4c7ca #808489 #484c52 #222428 #263e6e #8e2224 #3c5c54 #c4a878 #ce8428 #5882aa")
CLOTHES = linear(
    "#222630 #3e4a66 #b23c34 #ceb482 #5c6854 #dcdad4 #785642 #ce9638 #46788c #845478 #343436")
SKIN = linear("#e8c4a8 #c69674 #8c6046 #5c3e30")
HAIR = linear("#28201c #5c402a #b29260 #82807e")
SIGNS = linear("#be2428 #2454a8 #eebe28 #186e4a #ecece6")
SIGN_RED, SIGN_BLUE, SIGN_YELLOW, SIGN_GREEN, _ = SIGNS


def pick(rng, table):
    """Return a row of the table at random, each with the same chance."""
    return table[rng.integers(len(table))]


class Stage:
    """Polygons to be drawn: points (P, 3), points per polygon (N,), a row of attributes each."""

    def __init__(self):
        self.points = []
        self.sizes = []
        self.rows = []
        self.contact = []

    def put(
        self, points, colour, label, order, sizes=None, material=0, solid=False, casts=True,
        texture=()):  # fmt: skip
        """Add polygons.

        Those with a larger order (metres away) are drawn first, equal ones as they come. A solid's
        polygon is drawn only where its outside faces the camera. Every argument but the points and
        sizes is one for all polygons or one for each. A row is colour (3), label, material, order,
        solid, casts, texture (8).
        """
        sizes = [len(points)] if sizes is None else sizes
        row = np.zeros((len(sizes), 16), np.float32)
        row[:, :3] = colour
        row[:, 3] = label
        row[:, 4] = material
        row[:, 5] = order
        row[:, 6] = solid
        row[:, 7] = casts
        row[:, 8 : 8 + len(texture)] = texture
        self.points.append(points)
        self.sizes.extend(sizes)
        self.rows.append(row)


def upright(s0, z0, s1, z1, y0, y1) -> np.ndarray:
    """Return a vertical rectangle over the ground line (s0, z0) to (s1, z1): (4, 3)."""
    corners = [
        (s0, y0, z0),
        (s1, y0, z1),
        (s1, y1, z1),
        (s0, y1, z0),
    ]
    return np.array(corners, np.float32)


def disc(s, y, z, radius, stretch=1.0, corners=RING) -> np.ndarray:
    """Return a disc, or another shape, around (s, y, z) that faces the camera: (corners, 3)."""
    across = s + radius * corners[:, 0]
    up = y + radius * stretch * corners[:, 1]
    return np.column_stack([across, up, np.full(len(corners), z)])
