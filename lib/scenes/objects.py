"""The painters of single objects for `lib.scenes`: each puts polygons on a stage.

Street coordinates, in metres: s to the right of the centre line, y up from the ground, z ahead of the camera. A polygon
carries one class, one linear RGB albedo and one material; whatever is finer (windows, bricks, leaves) is a texture that
`lib.scenes.surfaces` computes per sample. People, plants and posts are flat figures that face the camera; cars and
houses are solids, seen from where the camera stands.
"""

from enum import IntEnum
from functools import cache

import numpy as np

from lib.files import ClassTable

# The first thirteen tags of CARLA (Dosovitskiy et al. 2017), in their order and palette; the sky is Unlabeled.
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

Label = IntEnum("Label", {name.upper().replace(" ", "_"): index for index, name in enumerate(CLASSES.names)})
Material = IntEnum("Material", "FLAT FACADE MASONRY FOLIAGE GLOW", start=0)
RING = np.stack([np.cos(np.linspace(0, 2 * np.pi, 10)[:-1]), np.sin(np.linspace(0, 2 * np.pi, 10)[:-1])], 1)


def rgb(*colors) -> np.ndarray:
    """Linear albedo of 8-bit display colours: (..., 3) in [0, 1]. A display gamma of 2 is near enough and cheap."""
    return (np.array(colors, np.float32) / 255) ** 2

METAL, DARK, BARK, WHITE = rgb((112, 116, 120), (30, 31, 34), (84, 68, 54), (236, 236, 230))
CAR_PAINT = rgb((220, 220, 218), (196, 199, 202), (128, 132, 137), (72, 76, 82), (34, 36, 40), (38, 62, 110),
                (142, 34, 36), (60, 92, 84), (196, 168, 120), (206, 132, 40), (88, 130, 170))  # fmt: skip
CLOTHES = rgb((34, 38, 48), (62, 74, 102), (178, 60, 52), (206, 180, 130), (92, 104, 84), (220, 218, 212),
              (120, 86, 66), (206, 150, 56), (70, 120, 140), (132, 84, 120), (52, 52, 54))  # fmt: skip
SKIN = rgb((232, 196, 168), (198, 150, 116), (140, 96, 70), (92, 62, 48))
HAIR = rgb((40, 32, 28), (92, 64, 42), (178, 146, 96), (130, 128, 126))
SIGNS = rgb((190, 36, 40), (36, 84, 168), (238, 190, 40), (24, 110, 74), (236, 236, 230))
SIGN_RED, SIGN_BLUE, SIGN_YELLOW, SIGN_GREEN, _ = SIGNS


class Stage:
    """Polygons waiting to be drawn: points (P, 3), points per polygon (N,), and one row of attributes each."""

    def __init__(self):
        self.points, self.sizes, self.rows, self.contact = [], [], [], []

    def put(self, points, colour, label, order, sizes=None, material=0, solid=False, casts=True, texture=()):
        """Add polygons. Those with a larger order (metres away) are drawn first, equal ones as they come.

        A solid's polygon is drawn only where its outside faces the camera. Every argument but the points and sizes is
        one for all polygons or one for each. A row is colour (3), label, material, order, solid, casts, texture (8).
        """
        sizes = [len(points)] if sizes is None else sizes
        row = np.zeros((len(sizes), 16), np.float32)
        row[:, :3], row[:, 3], row[:, 4], row[:, 5], row[:, 6], row[:, 7] = colour, label, material, order, solid, casts
        row[:, 8 : 8 + len(texture)] = texture
        self.points.append(points)
        self.sizes.extend(sizes)
        self.rows.append(row)


def upright(s0, z0, s1, z1, y0, y1) -> np.ndarray:
    """A vertical rectangle over the ground line (s0, z0) to (s1, z1): (4, 3)."""
    return np.array([(s0, y0, z0), (s1, y0, z1), (s1, y1, z1), (s0, y1, z0)], np.float32)


def disc(s, y, z, radius, stretch=1.0, corners=RING) -> np.ndarray:
    return np.column_stack([s + radius * corners[:, 0], y + radius * stretch * corners[:, 1], np.full(len(corners), z)])


def building(stage, rng, side, z0, z1, s, height, colour, look):
    """A house from z0 to z1 whose front stands at s: front, end wall, roof, and what sticks out of the front."""
    near, back = max(z0, 1.0), s + side * rng.uniform(7, 11)
    storey, bay = rng.uniform(2.9, 3.6), rng.uniform(1.9, 3.4)
    texture = (bay, storey, height, rng.random() < look["shops"], rng.random() < look["brick"], rng.random() * 500,
               rng.uniform(0.38, 0.72), rng.uniform(0.45, 0.7))  # fmt: skip
    if height < 14 and rng.random() < look["gables"]:
        ridge, mid = height + rng.uniform(2, 3.6), (s + back) / 2
        tiles = rgb((126, 70, 52), (86, 80, 80), (104, 62, 50))[rng.integers(3)]
        eaves = s - side * 0.3
        roof = np.array([(eaves, height, near), (mid, ridge, near), (mid, ridge, z1), (eaves, height, z1)])
        gable = np.array([(s, height, near), (mid, ridge, near), (back, height, near)])
        chimney = rng.uniform(near, z1)
        stage.put(upright(mid - 0.4, chimney, mid + 0.4, chimney, height, ridge + 1.1), tiles * 0.7, Label.BUILDING, z1)
        stage.put(roof, tiles, Label.BUILDING, z1, casts=False)
        stage.put(gable, colour * 0.9, Label.BUILDING, z1, casts=False)
    else:
        stage.put(upright(s, near, s, z1, height, height + 0.4), colour * 0.6,
                  Label.BUILDING, z1 + 0.01, casts=False)  # fmt: skip
    stage.put(upright(s, near, back, near, 0, height), colour * 0.92, Label.BUILDING, z1, None, Material.FACADE, False,
              False, (*texture[:3], 0, *texture[4:]))  # fmt: skip
    front = upright(s, near, s, z1, 0, height)
    stage.put(front, colour, Label.BUILDING, z1, None, Material.FACADE, False, False, texture)
    if texture[3] and z0 > 4:
        out = s - side * 1.3
        awning = np.array([(s, 3.0, z0 + 1), (out, 2.5, z0 + 1), (out, 2.5, z1 - 1), (s, 3.0, z1 - 1)])
        cloth = CLOTHES[rng.integers(len(CLOTHES))]
        stage.put(awning, cloth, Label.BUILDING, z1 - 0.1)
        stage.put(upright(out, z0 + 1, out, z1 - 1, 2.25, 2.5), cloth * 0.8, Label.BUILDING, z1 - 0.1)
        blade = SIGNS[rng.integers(len(SIGNS))]  # a shop's board, not a road sign
        stage.put(upright(s, z0 + 2, s - side * 0.9, z0 + 2, 3.1, 3.9), blade, Label.BUILDING, z0 + 2)


@cache
def _crown(variant: int, count: int, taper: float):
    """Clumps in a unit circle, those on top last: centres (count, 2), outlines (count, 9, 2), tones (count, 1)."""
    rng = np.random.default_rng((variant, count))
    angle, radius = rng.uniform(0, 2 * np.pi, count), np.sqrt(rng.random(count))
    centre = np.stack([radius * np.cos(angle), radius * np.sin(angle)], 1)
    centre = centre[np.argsort(centre[:, 1] + rng.normal(0, 0.35, count))]
    narrow = 1 - taper * (centre[:, 1] + 1) / 2
    size = rng.uniform(0.28, 0.55, count) * (0.4 + 0.6 * narrow) * (16 / count) ** 0.25
    outline = RING * (size[:, None, None] * rng.uniform(0.7, 1.25, (count, len(RING), 1)))
    tone = 0.93 + 0.33 * centre[:, 1] + rng.uniform(-0.18, 0.18, count)
    return centre * np.stack([narrow, np.ones(count)], 1), outline, tone[:, None]


def foliage(stage, rng, s, y, z, width, height, count, colour, order, taper=0.0, depth=0.0):
    """A crown of irregular leafy clumps around (s, y, z); all lengths are half extents in metres."""
    centre, outline, tone = _crown(int(rng.integers(24)), count, taper)
    points = np.empty((count, len(RING), 3), np.float32)
    points[..., :2] = (centre * (width, height))[:, None] + outline * min(width, height) + (s, y)
    points[..., 1] = np.maximum(points[..., 1], 0)
    points[..., 2] = z if not depth else z + depth * rng.uniform(-1, 1, (count, 1))
    stage.put(points.reshape(-1, 3), colour * tone, Label.VEGETATION, order, [len(RING)] * count, Material.FOLIAGE)


def tree(stage, rng, s, z, height, colour):
    """A tree whose trunk stands at (s, z); round, tall or conical."""
    width, bare, taper = ((0.30, 0.42, 0.1), (0.16, 0.22, 0.3), (0.24, 0.12, 0.85))[rng.choice(3, p=(0.68, 0.16, 0.16))]
    lean, thick = rng.normal(0, 0.25), 0.1 + 0.016 * height
    top, high = s + lean, height * 0.7
    trunk = np.array([(s - thick, 0, z), (s + thick, 0, z), (top + 0.08, high, z), (top - 0.08, high, z)])
    stage.put(trunk, BARK * rng.uniform(0.7, 1.3), Label.VEGETATION, z)
    middle, half = height * (1 + bare) / 2, height * (1 - bare) / 2
    count = int(np.clip(560 / z, 8, 52))
    foliage(stage, rng, s + lean, middle, z, height * width, half * 0.86, count, colour, z, taper)


def fence(stage, rng, s0, z0, s1, z1):
    """A fence one can see through: one comb of bars and its rails, from (s0, z0) to (s1, z1)."""
    length = np.hypot(s1 - s0, z1 - z0)
    height, pitch, bar = ((1.1, 0.16, 0.09), (1.5, 0.2, 0.035), (2.0, 0.3, 0.05))[rng.integers(3)]
    colour = rgb((60, 62, 64), (122, 94, 66), (176, 172, 162), (54, 78, 66))[rng.integers(4)]
    t = np.arange(0.05, length - bar, pitch)
    teeth = np.stack([np.stack([t, t, t + bar, t + bar], 1), np.tile((0.2, height, height, 0.2), (len(t), 1))], 2)
    outline = np.concatenate([[(0, 0.12)], teeth.reshape(-1, 2), [(length, 0.12)]])
    along = outline[:, :1] / length
    points = np.concatenate([s0 + along * (s1 - s0), outline[:, 1:], z0 + along * (z1 - z0)], 1)
    order = max(z0, z1)
    stage.put(points, colour, Label.FENCE, order)
    stage.put(upright(s0, z0, s1, z1, height - 0.16, height - 0.06), colour, Label.FENCE, order)


def wall(stage, rng, s0, z0, s1, z1, height):
    """A masonry wall with a coping; bricks, plaster and posters are its texture."""
    colour = rgb((150, 132, 116), (164, 160, 152), (134, 84, 66), (186, 178, 160))[rng.integers(4)]
    texture = (1, 1, height, 0, rng.random() < 0.5, rng.random() * 500)
    face = upright(s0, z0, s1, z1, 0, height)
    stage.put(face, colour, Label.WALL, max(z0, z1), None, Material.MASONRY, False, True, texture)
    stage.put(upright(s0, z0, s1, z1, height, height + 0.12), colour * 1.25, Label.WALL, max(z0, z1))


def post(stage, s, z, height, thick=0.08, colour=METAL, label=Label.POLE):
    """A vertical post, never thinner than about one pixel in an image 128 pixels wide."""
    half = max(thick, 0.0042 * z)
    stage.put(upright(s - half, z, s + half, z, 0, height), colour, label, z)


def lamp(stage, s, z, side, height, lit):
    """A street lamp whose arm reaches over the road."""
    post(stage, s, z, height)
    reach, thick = s - side * 1.7, max(0.06, 0.004 * z)
    arm = np.array([(s, -thick, z), (reach, 0.25 - thick, z), (reach, 0.25 + thick, z), (s, thick, z)]) + (0, height, 0)
    stage.put(arm, METAL, Label.POLE, z)
    head = upright(reach - 0.35, z, reach + 0.35, z, height + 0.1, height + 0.3)
    colour, material = (rgb(255, 216, 150), Material.GLOW) if lit else (METAL, Material.FLAT)
    stage.put(head, colour, Label.POLE, z, None, material)


def traffic_light(stage, rng, s, z, side, arm):
    """A signal on a post, with a second head on an arm over the road where there is one."""
    height = 5.6 if arm else 3.2
    post(stage, s, z, height)
    heads = [(s, 2.3)] + ([(s - side * arm, height - 1.0)] if arm else [])
    if arm:
        thick = max(0.07, 0.004 * z)
        stage.put(upright(s, z, s - side * arm, z, height - 2 * thick, height), METAL, Label.POLE, z)
    state = rng.integers(3)
    for across, low in heads:
        stage.put(upright(across - 0.24, z, across + 0.24, z, low, low + 1.15), DARK, Label.TRAFFIC_SIGN, z)
        for k, lens in enumerate(rgb((60, 255, 150), (255, 190, 60), (255, 60, 50))):
            on = k == state
            stage.put(disc(across, low + 0.22 + 0.36 * k, z, 0.15), lens if on else lens * 0.08, Label.TRAFFIC_SIGN, z,
                      None, Material.GLOW if on else Material.FLAT, casts=False)  # fmt: skip


def sign(stage, rng, s, z):
    """A traffic sign on its post: triangle, ban, order, priority or board; some are seen from behind."""
    y, size = rng.uniform(2.3, 3.0), rng.uniform(0.36, 0.5)
    post(stage, s, z, y + size, 0.05)
    plate(stage, rng, s, y, z, size)


def plate(stage, rng, s, y, z, size, label=Label.TRAFFIC_SIGN):
    """The plate of a traffic sign around (s, y, z), `size` metres from its middle to its rim."""
    square = np.array([(-1, -1), (1, -1), (1, 1), (-1, 1)])
    triangle, diamond = np.array([(-1, -0.8), (1, -0.8), (0, 0.95)]), np.array([(-1, 0), (0, -1), (1, 0), (0, 1)])
    shapes = ((triangle, SIGN_RED, WHITE), (RING, SIGN_RED, WHITE), (RING, SIGN_BLUE, SIGN_BLUE),
              (diamond, WHITE, SIGN_YELLOW), (square, SIGN_BLUE, SIGN_BLUE), (RING, SIGN_RED, SIGN_RED),
              (square * (2.2, 1), SIGN_GREEN, SIGN_GREEN), (RING, METAL, METAL),
              (triangle * (1, -1), SIGN_RED, WHITE))  # fmt: skip
    corners, rim, face = shapes[rng.integers(len(shapes))]
    stage.put(disc(s, y, z, size, corners=corners), rim, label, z)
    stage.put(disc(s, y, z, size * 0.7, corners=corners), face, label, z, casts=False)
    if rim is not METAL:
        mark = DARK if face is WHITE else WHITE
        stage.put(disc(s, y, z, size * 0.42, 0.32, square), mark, label, z, casts=False)
