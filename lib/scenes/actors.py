"""The painters of people and street furniture: each puts polygons on a stage."""

import numpy as np

from lib.scenes.stage import (
    CLOTHES, DARK, HAIR, RING, SIGN_BLUE, SKIN, Label, disc, linear, pick, upright)  # fmt: skip

SKIRT = (
    (-0.15, 0.95),
    (0.15, 0.95),
    (0.25, 0.42),
    (-0.25, 0.42),
)
UMBRELLA = (
    (-0.6, 1.85),
    (-0.35, 2.1),
    (0, 2.2),
    (0.35, 2.1),
    (0.6, 1.85),
)


def person(stage, rng, s, z, walking=True, rain=False):
    """Put a person with head, hair, torso, arms and legs, in some clothes and some pose."""
    size = rng.uniform(0.92, 1.12)
    if rng.random() < 0.12:  # a child
        size = size * 0.66
    stride = rng.uniform(-0.26, 0.26) if walking else 0.05
    top, legs = CLOTHES[rng.permutation(len(CLOTHES))[:2]]
    skin = pick(rng, SKIN)
    hair = pick(rng, HAIR)
    broad = rng.uniform(0.19, 0.25)
    skirt = rng.random() < 0.22

    shapes = []
    colours = []

    def add(shape, colour):
        shapes.append(np.array(shape))
        colours.append(colour)

    def limb(x0, y0, x1, y1, thick):
        return [
            (x0 - thick, y0),
            (x0 + thick, y0),
            (x1 + thick, y1),
            (x1 - thick, y1),
        ]

    add(limb(-0.08, 0.85, -0.09 - stride, 0, 0.075), legs * 0.8)
    add(limb(0.08, 0.85, 0.09 + stride, 0, 0.08), legs)
    if skirt:
        add(SKIRT, legs)
    swing = broad + stride * 0.6
    add(limb(-broad, 1.4, -swing, 0.82, 0.05), top * 0.75)
    torso = [
        (-broad, 1.42),
        (-0.08, 1.5),
        (0.08, 1.5),
        (broad, 1.42),
        (0.16, 0.8),
        (-0.16, 0.8),
    ]
    add(torso, top)
    add(limb(broad, 1.4, swing, 0.82, 0.05), top * 0.8)
    turn = rng.choice((-0.03, 0, 0.03))
    add(RING * 0.12 + (0, 1.63), hair)
    add(RING * (0.095, 0.11) + (turn, 1.6), skin)
    if rng.random() < 0.3:
        bag = limb(broad + 0.05, 1.05, broad + 0.06, 0.72, 0.11)
        add(bag, pick(rng, CLOTHES))
    if rain and rng.random() < 0.6:
        add(UMBRELLA, pick(rng, CLOTHES))
    across, up = size * np.concatenate(shapes).T
    across = across * max(1, z / 40)
    points = np.column_stack([s + across, up, np.full(len(up), z)])
    sizes = [len(shape) for shape in shapes]
    stage.put(points, np.stack(colours), Label.PEDESTRIAN, z, sizes)
    on_the_ground = np.array([(1, 0, 0), (0, 0, 0.6)])
    shadow = disc(s, 0, 0, 0.32)[:, :2] @ on_the_ground
    stage.contact.append(shadow + (0, 0, z))


def box(stage, s, z, wide, deep, low, high, colour, label=Label.OTHER):
    """Put a box whose front is at z, with the side that the camera sees and a lighter top."""
    a = s - wide / 2
    b = s + wide / 2
    back = z + deep
    left = upright(a, back, a, z, low, high)
    right = upright(b, z, b, back, low, high)
    for side in (left, right):
        stage.put(side, colour * 0.8, label, z, solid=True)
    lid = np.array([
        (a, high, z),
        (b, high, z),
        (b, high, back),
        (a, high, back),
    ])
    stage.put(lid, colour * 1.2, label, z, casts=False)
    stage.put(upright(a, z, b, z, low, high), colour, label, z)


def furniture(stage, rng, s, z, side):
    """Put street furniture of the class Other: bin, bench, cabinet, shelter, column, crates."""
    colour = pick(rng, linear("#46544c #606264 #344a60 #969288 #805c3c"))
    kind = rng.integers(7)
    if kind == 0:  # litter bin
        box(stage, s, z, 0.5, 0.5, 0, 0.95, colour)
        box(stage, s, z, 0.54, 0.54, 0.95, 1.08, DARK)
    elif kind == 1:  # bench
        wood = linear("#7e5a3a")
        box(stage, s, z, 0.4, 1.8, 0.38, 0.48, wood)
        box(stage, s, z, 0.06, 1.8, 0.62, 0.74, wood)
        box(stage, s, z, 0.06, 1.8, 0.8, 0.9, wood)
        box(stage, s, z, 0.35, 0.08, 0, 0.4, DARK)
        box(stage, s, z + 1.7, 0.35, 0.08, 0, 0.4, DARK)
    elif kind == 2:  # switch cabinet
        box(stage, s + side * 0.4, z, 0.6, 1.3, 0, 1.35, linear("#8c908c"))
    elif kind == 3 and z > 9:  # shelter
        _shelter(stage, s, z, side, colour * 0.6)
    elif kind == 4:  # advertising column
        box(stage, s, z, 1.1, 1.1, 0, 2.6, linear("#c4baa6"))
        tint = pick(rng, CLOTHES)
        poster = upright(s - 0.45, z, s + 0.45, z, 1.0, 2.2)
        stage.put(poster, tint, Label.OTHER, z, casts=False)
        box(stage, s, z, 1.25, 1.25, 2.6, 2.85, DARK * 2)
    elif kind == 5:  # hydrant and bollards
        for k in range(4):
            place = z + 1.6 * k
            bollard = upright(s - 0.09, place, s + 0.09, place, 0, 0.95)
            stage.put(bollard, colour, Label.OTHER, place)
    else:  # crates or refuse sacks
        for k in range(3):
            high = rng.uniform(0.4, 0.9)
            tint = colour * rng.uniform(0.6, 1.3)
            across = s + rng.uniform(-0.3, 0.3)
            box(stage, across, z + 0.7 * k, 0.6, 0.5, 0, high, tint)


def _shelter(stage, s, z, side, colour):
    """Put a bus shelter: a glass wall along the street, one across it behind, and a roof."""
    wall = s + side * 0.8
    end = z + 3.6
    glass = upright(wall, z, wall, end, 0.2, 2.3)
    stage.put(glass, linear("#96aab0"), Label.OTHER, end)
    behind = z + 3.5
    panel = upright(s - side * 0.5, behind, wall, behind, 0.2, 2.3)
    stage.put(panel, SIGN_BLUE, Label.OTHER, behind)
    box(stage, s + side * 0.1, z, 1.7, 3.7, 2.3, 2.5, colour)
