"""What stands where along a street: houses, gardens, furniture, traffic and people."""

import numpy as np

import lib.scenes.actors as actors
import lib.scenes.cars as cars
import lib.scenes.objects as paint
from lib.scenes.stage import BARK, Label, Material, Stage, pick, upright
from lib.scenes.world import SKYLINE_START


def lay_out(rng, street) -> Stage:
    """Return a stage with everything that stands along the street."""
    stage = Stage()
    _backdrop(stage, rng, street)
    for side in (-1, 1):
        _parcels(stage, rng, street, side)
        _kerbside(stage, rng, street, side)
    _traffic(stage, rng, street)
    _people(stage, rng, street)
    return stage


def _backdrop(stage, rng, street):
    """Put what closes the view: far houses and trees behind gaps and at the end of the street."""
    fronts = street.district.fronts
    for _ in range(18):
        z = rng.uniform(70, 250)
        wide = rng.uniform(12, 40)
        if z < 200:
            side = rng.choice((-1, 1))
            s = side * (street.front + rng.uniform(22, 50) + wide)
        else:
            s = rng.uniform(-130, 130)
        half = wide / 2
        order = 200 + z
        if rng.random() < 0.6:
            tall = rng.uniform(0.6, 1.3) * street.district.tall[1]
            bay = rng.uniform(2.4, 4)
            seed = rng.random() * 500
            stage.put(
                upright(s - half, z, s + half, z, 0, tall),
                pick(rng, fronts),
                Label.BUILDING,
                order,
                material=Material.FACADE,
                casts=False,
                texture=(bay, 3.2, tall, 0, 0, seed, 0.5, 0.5),
            )
        else:
            high = rng.uniform(4, 8)
            paint.foliage(stage, rng, s, 3, z, half, high, 16, street.leaves[0], order)


def _parcels(stage, rng, street, side):
    """Put houses, gardens, fences and walls along one side, from behind the camera to the haze."""
    z = -50.0
    while z < 160:
        if street.junction[0] - 0.5 <= z < street.junction[1]:
            z = street.junction[1]
        end = z + rng.uniform(8, 19)
        if z < street.junction[0]:
            end = min(end, street.junction[0])
        if end - z > 3:
            _parcel(stage, rng, street, side, z, end)
        z = end
        if rng.random() < 0.2:  # a passage
            z += rng.uniform(1, 3)


def _parcel(stage, rng, street, side, z0, z1):
    """Put a house with or without a front garden, or a garden, on a parcel from z0 to z1."""
    district = street.district
    s = side * street.front
    house = rng.random() < district.houses
    gardens = 0.75 if district.tall[0] < 8 else 0.2
    setback = 0.0
    if house and rng.random() < gardens:
        setback = rng.uniform(3, 6)
    near = max(z0, 1.5)
    if house:
        height = rng.uniform(*district.tall)
        heights = street.skyline[(side + 1) // 2]
        heights[int(z0 + SKYLINE_START) : int(z1 + SKYLINE_START)] = height
    if z1 < 3:
        return
    if house:
        colour = pick(rng, district.fronts)
        colour = colour * rng.uniform(0.85, 1.1)
        paint.building(stage, rng, side, z0, z1, s + side * setback, height, colour, district)
    if (not house or setback) and z0 < 90:
        _garden(stage, rng, street, side, near, z1, setback)


def _garden(stage, rng, street, side, near, z1, setback):
    """Put bushes and trees behind a fence, a wall or a hedge; `setback` is 0 without a house."""
    s = side * street.front
    number = rng.integers(1, 3) if setback else rng.integers(2, 6)
    for _ in range(number):
        place = rng.uniform(near, z1)
        out = rng.uniform(1, setback) if setback else rng.uniform(1.5, 14)
        across = s + side * out
        if setback or rng.random() < 0.3:
            leaves = street.leaves[1]
            paint.foliage(stage, rng, across, 0.6, place, 1.1, 0.9, 9, leaves, z1)
        else:
            leaves = pick(rng, street.leaves)
            paint.tree(stage, rng, across, max(place, 5), rng.uniform(5, 11), leaves)
    kind = rng.choice(4, p=(0.42, 0.4, 0.12, 0.06))
    if kind == 0:
        paint.fence(stage, rng, s, near, s, z1)
    elif kind == 1:
        height = rng.uniform(0.7, 1.2) if setback else rng.uniform(1.5, 2.8)
        paint.wall(stage, rng, s, near, s, z1, height)
    elif kind == 2:  # hedge
        middle = (near + z1) / 2
        half = (z1 - near) / 2
        leaves = street.leaves[1] * 0.8
        paint.foliage(stage, rng, s, 0.7, middle, 0.5, 0.75, 34, leaves, z1, depth=half)


def _kerbside(stage, rng, street, side):
    """Put lamps, trees, signs, signals, fences and furniture along the kerb."""
    kerb = side * (street.half + 0.5)
    district = street.district
    lit = street.weather.lamps > 0
    first, last = street.junction

    def free(z):
        return 4.5 < z < first - 2 or last + 2 < z < 130

    for z in np.arange(street.lamp + 3 * side, 120, 24.0):
        if free(z):
            paint.lamp(stage, kerb, z, side, rng.uniform(5.8, 6.2), lit)
    if district.trees:
        for z in np.arange(rng.uniform(5, 12), 90, district.trees):
            if free(z) and rng.random() < 0.85:
                height = rng.uniform(5.5, 9)
                paint.tree(stage, rng, kerb + 0.4 * side, z, height, street.leaves[0])
    z = rng.uniform(5, 12)
    while z < 75:
        kind = rng.random()
        if free(z) and kind < 0.42:
            actors.furniture(stage, rng, kerb + side * 0.3, z, side)
        elif free(z) and kind < 0.75:
            paint.sign(stage, rng, kerb, z)
        elif free(z) and free(z + 6) and kind < 0.85:
            s = kerb - side * 0.3
            paint.fence(stage, rng, s, z, s, z + 6)
        elif free(z):
            paint.post(stage, kerb + side * 0.2, z, rng.uniform(6, 8), 0.09, BARK * 1.2)
        z += rng.uniform(4, 11)
    if first < 200 and rng.random() < 0.8:
        for z in (first - 1.2, last + 0.8):
            arm = rng.choice((0, street.half * 0.9))
            paint.traffic_light(stage, rng, kerb, z, side, arm)


def _traffic(stage, rng, street):
    """Put parked and driving cars; those that drive on the far half come towards the camera."""
    lit = bool(street.weather.lamps > 0 or street.weather.sight < 100)
    first, last = street.junction
    busy = rng.uniform(0.25, 0.9)
    for side in (-1, 1):
        if street.parking:
            _parked(stage, rng, street, side, busy)
    for lane in range(street.lanes):
        s = -street.carriageway + (lane + 0.5) * street.lane
        away = s * street.drive > 0.1
        heading = 0.0 if away else np.pi
        z = rng.uniform(9, 45)
        while z < 100:
            kind = "bus" if rng.random() < 0.06 else None
            if not first - 3 < z < last + 3:
                place = s + rng.normal(0, 0.15)
                cars.car(stage, rng, place, z, heading, kind, lit)
            z += rng.uniform(9, 60)
    if first < 200 and rng.random() < 0.6:
        turn = rng.choice((-1, 1))
        s = rng.uniform(-1.2, 1.2) * street.front
        z = (first + last) / 2 + 2 * turn
        cars.car(stage, rng, s, z, turn * np.pi / 2, None, lit)


def _parked(stage, rng, street, side, busy):
    """Put a row of parked cars on one side; `busy` is the share of the bays that are taken."""
    first, last = street.junction
    heading = 0 if side == street.drive else np.pi
    for z in np.arange(rng.uniform(5, 11), 85, 6.2):
        if rng.random() < busy and not first - 10 < z < last + 8:
            place = side * (street.half - 1.05 + rng.normal(0, 0.08))
            turned = heading + rng.normal(0, 0.02)
            cars.car(stage, rng, place, z, turned)


def _people(stage, rng, street):
    """Put people on the pavements, alone or side by side, and on the crossings."""
    rain = street.weather.wet > 0.9
    for _ in range(rng.poisson(6)):
        side = rng.choice((-1, 1))
        z = 5 + 60 * rng.random() ** 1.6
        if street.junction[0] < z < street.junction[1]:
            continue
        widest = max(1.2, street.walk - 0.5)
        s = side * (street.half + rng.uniform(0.9, widest))
        for k in range(rng.choice((1, 1, 2, 3))):
            across = s + 0.55 * side * k
            ahead = z + rng.uniform(0, 0.8)
            walking = rng.random() < 0.8
            actors.person(stage, rng, across, ahead, walking, rain)
    for crossing in street.crossings:
        for _ in range(rng.poisson(1.6)):
            s = rng.uniform(-street.half, street.half)
            z = crossing + rng.uniform(0.4, 2.6)
            actors.person(stage, rng, s, z, True, rain)
