"""Clutter: things that look like people, cars, signs, poles and road lines and are none, in doses.

Posters and murals of people and cars on houses and garden walls, shop signs in the shapes of road
signs, drainpipes, free-standing advertisements with a person or a car on them, and pale strips in
the pavement. Each has the class of what it is part of: what is printed on a house is Building, an
advertisement on legs is Other. A figure is drawn by the painter of the real thing and pressed flat,
so that its own pixels do not give it away, and only what surrounds it does.

The places of all candidates, what each would be and the dose that it needs are drawn at random
without regard to the dose that is asked for. A larger dose therefore adds things and changes none
that are there, and the number of things grows in proportion to the dose.
"""

from dataclasses import dataclass

import numpy as np

import lib.scenes.actors as actors
import lib.scenes.cars as cars
from lib.scenes.objects import plate
from lib.scenes.stage import BARK, DARK, METAL, WHITE, Label, Material, Stage, linear, pick, upright

MOST = 4.0  # the largest dose: all candidates are there
# metres ahead of the camera, between which there is clutter
NEAREST = 4.0
FARTHEST = 60.0
# metres of wall or pavement per candidate
WALL_PITCH = 1.2
BOARD_PITCH = 5.0
STRIP_PITCH = 4.0
RELIEF = 0.02  # depth that is left of a figure that is pressed flat, relative to the real thing
BEHIND_A_FENCE = 2.8  # metres: what is higher up on a house that is set back shows above its fence
OBLIQUE = 1.5  # figures on a wall along the street are that much wider: they are seen at an angle
ON_THE_GROUND = 199.0  # order: drawn after the backdrop and before everything that stands
PANELS = linear("#d6cebe #969ea4 #5c544e #baa078 #788a80")
STRIPS = linear("#e2e0d6 #ded8c4 #d6be6e")


@dataclass(frozen=True)
class Face:
    """The side of a house or of a garden wall that one sees from the street, in metres.

    `start` and `end` are its two ends (s, z) on the ground, `right` runs from the viewer's left to
    the right along it, and `inward` points away from the viewer; both are unit vectors (s, z).
    There is clutter between the heights `foot` and `height`.
    """

    start: np.ndarray
    end: np.ndarray
    right: np.ndarray
    inward: np.ndarray
    foot: float  # what is lower may be hidden by something that is drawn before the face
    height: float
    order: float
    label: int

    @property
    def along_the_street(self) -> bool:
        return self.inward[1] == 0


def add_clutter(stage, rng, street, dose: float) -> None:
    """Put the clutter of that dose, in [0, MOST], on a stage that is laid out already."""
    for face in _faces(stage, street):
        _cover_face(stage, rng, face, dose)
    for side in (-1, 1):
        for z, chance in _candidates(rng, NEAREST + 4, FARTHEST, BOARD_PITCH, dose):
            if chance and not street.at_junction(z):
                _board(stage, chance, street, side, z)
        for z, chance in _candidates(rng, NEAREST, FARTHEST / 2, STRIP_PITCH, dose):
            if chance and not street.at_junction(z) and not street.at_junction(z + STRIP_PITCH):
                _pale_strip(stage, chance, street, side, z)


def _candidates(rng, start: float, end: float, pitch: float, dose: float):
    """Yield places about `pitch` metres apart, each with its own random generator, or None.

    A place has None where the dose does not suffice. The numbers drawn from `rng` are the same for
    every dose.
    """
    for middle in np.arange(start + pitch / 2, end, pitch):
        place = middle + rng.uniform(-0.3, 0.3) * pitch
        need = rng.uniform(0, MOST)
        seed = rng.integers(2**63)
        yield place, np.random.default_rng(seed) if need < dose else None


def _faces(stage, street) -> list[Face]:
    """Return façades and garden walls beside the pavement, and end walls that face the camera."""
    faces = []
    for points, rows in zip(stage.points, stage.rows):
        row = rows[0]
        material = row[4]
        order = float(row[5])
        if material not in (Material.FACADE, Material.MASONRY) or order >= ON_THE_GROUND:
            continue
        start, end = points[:2, ::2].astype(float)  # (s, z)
        side = np.sign(start[0])
        if start[0] == end[0]:
            right = np.array((0, -side))
            inward = np.array((side, 0))
        else:
            right = np.array((1, 0))
            inward = np.array((0, 1))
        set_back = abs(start[0]) > street.front + 0.01
        foot = BEHIND_A_FENCE if set_back else 0.0
        height = float(np.ptp(points[:, 1]))
        label = int(row[3])
        if height > foot + 0.6:
            faces.append(Face(start, end, right, inward, foot, height, order, label))
    return faces


def _cover_face(stage, rng, face: Face, dose: float) -> None:
    """Put posters, murals, shop signs and pipes on one face."""
    span = face.end - face.start
    length = float(np.hypot(*span))
    forward = span / length
    house_front = face.height > 4 and face.along_the_street and not face.foot
    for along, chance in _candidates(rng, 0, length, WALL_PITCH, dose):
        place = face.start + along * forward
        room = min(along, length - along)  # to the nearer end of the face
        if not chance or room < 0.6 or not NEAREST < place[1] < FARTHEST:
            continue
        kind = chance.random()
        if kind < 0.2 or face.height - face.foot < 1.2:
            _pipe(stage, chance, face, place)
        elif kind < 0.45 and house_front:
            _shop_sign(stage, chance, face, place)
        elif kind < 0.75:
            _poster(stage, chance, face, place, room, _person(chance), 1.75, 0.6)
        else:
            _poster(stage, chance, face, place, room, *_car(chance))


def _person(rng) -> Stage:
    figure = Stage()
    actors.person(figure, rng, 0, 0)
    return figure


def _car(rng) -> tuple[Stage, float, float]:
    """Return a car from behind, the front or a side, its height and its width in metres."""
    figure = Stage()
    quarter = rng.choice((0, 1, 1, 2, 3, 3))
    cars.car(figure, rng, 0, 0, quarter * np.pi / 2)
    points = np.concatenate(figure.points)
    height = float(points[:, 1].max())
    width = float(np.ptp(points[:, 0]))
    return figure, height, width


def _press(stage, figure, place, low, face, scale, wide=1.0) -> None:
    """Put a figure on a face, pressed flat; `place` is (s, z), and `low` how high it stands."""
    across, up, away = np.concatenate(figure.points).T * scale
    along = np.outer(across * wide, face.right)
    depth = np.outer(away * RELIEF, face.inward)
    s, z = (along + depth + place).T
    rows = np.concatenate(figure.rows)
    stage.put(
        np.column_stack([s, low + up, z]),
        rows[:, :3],
        face.label,
        face.order,
        sizes=figure.sizes,
        solid=rows[:, 6],
        casts=False,
    )


def _rectangle(stage, place, half, low, high, face, colour) -> None:
    """Put a rectangle on a face, `half` metres to either side of `place`."""
    s0, z0 = place - half * face.right
    s1, z1 = place + half * face.right
    rectangle = upright(s0, z0, s1, z1, low, high)
    stage.put(rectangle, colour, face.label, face.order, casts=False)


def _poster(stage, rng, face, place, room, figure, tall, broad) -> None:
    """Put a figure about `tall` by `broad` metres, with or without a poster behind it.

    Low down it is at most life-size; from the first storey up it is as large as an advertisement.
    `room` is the distance to the nearer end of the face, where the figure has to end.
    """
    storeys = face.height - face.foot
    high_up = face.foot > 0 or (storeys > 6 and rng.random() < 0.4)
    wide = OBLIQUE if face.along_the_street and broad < 1 else 1.0
    scale = rng.uniform(1, 2.2) if high_up else 1.0
    scale = min(scale, 0.85 * storeys / tall, room / (0.75 * broad * wide))
    size = tall * scale
    free = max(face.height - size - 0.3, face.foot + 0.06)
    lowest = 0.05
    highest = min(1.2, free)
    if high_up:
        lowest = min(max(face.foot, 2.5), free)
        highest = min(9.0, free)
    low = rng.uniform(lowest, highest)
    if rng.random() < 0.5:
        half = 0.7 * broad * scale * wide
        margin = 0.12 * scale
        colour = pick(rng, PANELS)
        colour = colour * rng.uniform(0.7, 1.1)
        _rectangle(stage, place, half, low - 0.04, low + size + margin, face, colour)
    _press(stage, figure, place, low, face, scale, wide)


def _pipe(stage, rng, face, place) -> None:
    """Put a drainpipe or a painted stripe, as wide as a post."""
    half = max(0.09, 0.0042 * place[1])
    if face.along_the_street:
        half *= 4  # seen at an angle
    high = face.height
    if high > 4:
        high = max(face.foot + 1, high * rng.uniform(0.5, 0.95))
    colour = pick(rng, (METAL, METAL * 0.6, BARK * 1.2, WHITE * 0.8))
    _rectangle(stage, place, half, face.foot, high, face, colour)


def _shop_sign(stage, rng, face, place) -> None:
    """Put a sign that sticks out of the house on a bracket, in the shape of a road sign."""
    size = rng.uniform(0.36, 0.55)
    y = rng.uniform(2.2, 4.2)
    z = place[1]
    s = place[0] - face.inward[0] * (size + 0.12)
    thick = max(0.03, 0.002 * z)
    bracket = upright(place[0], z, s, z, y - thick, y + thick)
    stage.put(bracket, DARK, face.label, z, casts=False)
    plate(stage, rng, s, y, z, size, face.label)


def _board(stage, rng, street, side, z) -> None:
    """Put an advertisement on legs, of the class Other, on the pavement, facing the camera."""
    out = street.half + 0.7
    if rng.random() < 0.75:  # near the houses
        out = street.front - 0.65
    s = side * out
    frame = pick(rng, (METAL, DARK, WHITE * 0.7))
    place = np.array((s, z))
    right = np.array((1, 0))
    inward = np.array((0, 1))
    if rng.random() < 0.3:  # a low one with a sign on it
        actors.box(stage, s, z, 0.62, 0.3, 0, 1.15, frame)
        plate(stage, rng, s, 0.68, z, 0.26, Label.OTHER)
        return
    face = Face(place, place, right, inward, 0.0, 2.0, z, Label.OTHER)
    actors.box(stage, s, z, 1.3, 0.14, 0.25, 2.25, frame)
    panel = pick(rng, PANELS)
    _rectangle(stage, place, 0.58, 0.33, 2.17, face, panel)
    if rng.random() < 0.6:
        _press(stage, _person(rng), place, 0.36, face, 0.95)
    else:
        figure = Stage()
        cars.car(figure, rng, 0, 0, rng.choice((0, np.pi)), "hatch")
        _press(stage, figure, place, 0.7, face, 0.6)


def _pale_strip(stage, rng, street, side, z) -> None:
    """Put a pale strip in the pavement, along the street or across it, as narrow as a road line."""
    colour = pick(rng, STRIPS) * rng.uniform(0.8, 1)
    if rng.random() < 0.7:
        s = rng.uniform(street.half + 0.4, street.front - 0.4)
        half = 0.11
        long = STRIP_PITCH
    else:
        s = (street.half + street.front) / 2
        long = 0.5
        half = (street.front - street.half) / 2 - 0.1
    a = side * s - half
    b = side * s + half
    end = z + long
    corners = [
        (a, 0, z),
        (b, 0, z),
        (b, 0, end),
        (a, 0, end),
    ]
    corners = np.array(corners, np.float32)
    stage.put(corners, colour, Label.SIDEWALK, ON_THE_GROUND, casts=False)
