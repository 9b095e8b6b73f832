"""Light: from what every sample shows to linear light, and from that to an image."""

import numpy as np
from PIL import Image, ImageFilter

from lib.scenes.stage import Label, Material, linear
from lib.scenes.surfaces import GRAIN, facade_at, ground_at, masonry_at, noise_texture, sky_at
from lib.scenes.world import FAR, KERB, SKYLINE_LENGTH, SKYLINE_START

# Standard deviations of a sensor's noise at dose 1, in units of the image's range: of reading a
# pixel, whatever its value, and of counting photons, at full brightness.
READ_NOISE = 0.02
SHOT_NOISE = 0.04


def _look_up(at, table) -> dict:
    """Return the attributes of each sample's polygon; ground and sky are filled in later."""
    names = ("label", "colour", "depth", "lit", "sky", "material")
    seen = {name: table[name].take(at.ids, 0) for name in names}
    glows = seen["material"] == Material.GLOW
    seen["glow"] = 1.5 * glows.astype(np.float32)
    seen["mirror"] = np.zeros(len(at.ids), np.float32)
    return seen


def _lay_ground(street, camera, at, seen, x, down, scale):
    """Fill in road, kerb and pavement where no polygon is; return the samples of the sky."""
    road_z = camera.ground_depth(down)
    walk_z = camera.ground_depth(down, KERB)
    below = (road_z < FAR)[at.row]
    free = at.ids < 0
    ground = np.flatnonzero(free & below)
    row = at.row[ground]
    x = x[ground]
    road_z = road_z[row]
    road_s = x * road_z - camera.shift(road_z)
    walk_z = walk_z[row]
    walk_s = x * walk_z - camera.shift(walk_z)
    paved = (np.abs(walk_s) > street.half) & ~street.at_junction(walk_z)
    beside = (np.abs(road_s) > street.half) & ~street.at_junction(road_z)
    kerb = beside & ~paved
    z = np.where(paved, walk_z, road_z)
    s = np.where(paved, walk_s, road_s)
    label, colour, worn = ground_at(street, s, z, kerb, paved, scale / 2)
    seen["depth"][ground] = z
    seen["label"][ground] = label
    seen["colour"][ground] = colour
    seen["lit"][ground] = np.where(kerb, 0.3, 1) * street.sun[1]
    under_things = at.shadow[ground] == 2
    seen["sky"][ground] = np.where(under_things, 0.35, 1)
    share = np.clip(0.12 + z / 90, 0, 0.5)
    puddle = np.clip((worn - 0.55) * 6, 0, 1) * ~paved
    mirror = share + (0.75 - share) * puddle
    seen["mirror"][ground] = street.weather.wet * mirror
    return np.flatnonzero(free & ~below)


def _texture(light, camera, at, seen, table, x, down, scale):
    """Paint façades and walls by the point that a sample's ray meets, and leaves by place."""
    for kind, painter in ((Material.FACADE, facade_at), (Material.MASONRY, masonry_at)):
        flat = np.flatnonzero(seen["material"] == kind)
        ids = at.ids[flat]
        ray = x[flat]
        xa, za, xb, zb = table["plane"].take(ids, 0).T
        length = np.hypot(xb - xa, zb - za)
        dx = (xb - xa) / length
        dz = (zb - za) / length
        u = (xa - ray * za) / (ray * dz - dx + 1e-9)
        u = np.clip(u, 0, length)
        z = za + dz * u
        y = camera.height(down[at.row[flat]], z) - KERB
        colour = seen["colour"][flat]
        texture = table["texture"].take(ids, 0)
        pixel = z * 2 / scale
        glow = painter(light, texture, u, y, z, colour, pixel)
        seen["depth"][flat] = z
        seen["colour"][flat] = colour
        seen["glow"][flat] = glow
    leaf = np.flatnonzero(seen["material"] == Material.FOLIAGE)
    z = seen["depth"][leaf]
    fine = np.clip(240 / z, 4, 26)
    across = x[leaf] * z * fine + at.ids[leaf] * 31
    up = down[at.row[leaf]] * z * fine
    grain = noise_texture("fine", across, up)
    tone = 0.55 + 0.9 * grain
    seen["colour"][leaf] *= tone[:, None]
    seen["lit"][leaf] = 0.25 + 0.5 * seen["lit"][leaf]


def _sunlit(street, s, y, z):
    """Return the share of the sun, in [0, 1], that houses let through to points of the street."""
    right, steep, ahead = (float(part) for part in street.sun)
    flat = float(np.hypot(street.sun[0], street.sun[2]))
    side = 1 if right > 0 else -1
    slant = max(abs(right) / flat, 0.05)
    path = (street.front - side * s) / slant  # metres on the ground to the line of the houses
    place = z + path * (ahead / flat) + SKYLINE_START
    place = np.clip(place, 0, SKYLINE_LENGTH - 1).astype(np.int32)
    roof = street.skyline[(side + 1) // 2].take(place)
    above = y + path * (steep / flat) - roof
    free = np.clip(above * 2.5 + 1, 0, 1)
    return np.where(path < 0, 1, free)


def shade(street, camera, at, table):
    """Return the samples' labels (n,), and linear light with the share of mirroring (n, 4)."""
    light = street.weather
    height, width = at.size
    across, down, scale = camera.ray((2 * height, 2 * width))
    x = across[at.column]
    seen = _look_up(at, table)
    above = _lay_ground(street, camera, at, seen, x, down, scale)
    _texture(light, camera, at, seen, table, x, down, scale)
    z = seen["depth"]
    glow = seen["glow"]
    colour = seen["colour"]
    lit = seen["lit"]
    s = x * z - camera.shift(z)
    y = camera.height(down[at.row], z)
    if light.sun.max() > 0.3:
        unshaded = (at.ids >= 0) | (at.shadow == 0)
        lit *= _sunlit(street, s, y, z) * unshaded
    power = seen["sky"][:, None] * light.ambient
    power = power + lit[:, None] * light.sun
    if light.lamps:
        _add_lamps(power, street, s, y, z)
    matt = np.maximum(1 - glow, 0)
    colour *= power * matt[:, None] + 1.6 * glow[:, None]
    air = np.exp(z * (-1 / light.sight))  # the share of light that passes it
    air = air[:, None]
    colour = colour * air + (1 - air) * light.horizon
    colour[above] = sky_at(street, x[above], down[at.row[above]])
    seen["label"][above] = Label.UNLABELED
    return seen["label"], np.column_stack([colour, seen["mirror"]])


def _add_lamps(power, street, s, y, z):
    """Add the light of street lamps at points of the street to the power (n, 3) in place."""
    tint = linear("#ffc880")
    along = (z - street.lamp + 12) % 24 - 12
    for side in (-1, 1):
        away = (s - side * (street.half - 1.2)) ** 2
        away = away + (along - 3 * side) ** 2
        away = away + 0.15 * (5.5 - y) ** 2
        bright = 0.55 * street.weather.lamps / (1 + away / 6)
        power += bright[:, None] * tint


def develop(colour, light, horizon, rng):
    """Make an image uint8 (H, W, 3) of linear light and mirroring (H, W, 4).

    That takes reflections, bloom, tone, vignette and grain.
    """
    image = colour[..., :3]
    share = colour[..., 3:]
    h, w = colour.shape[:2]
    side = float(h * w) ** 0.5
    if light.wet:  # each row mirrors a blurred one above the horizon
        up = 1.95 * horizon * h - 0.95 * np.arange(h)
        up = np.clip(up, 0, h - 1).astype(int)
        blurred = 0
        for step in (-2, -1, 0, 1, 2):
            rows = np.clip(up + step * h // 80, 0, h - 1)
            blurred = blurred + image[rows]
        blurred = blurred / 5
        image = image * (1 - 0.9 * share) + blurred * share
    if light.lamps:
        bright = np.clip(image - 0.75, 0, 1) * 255
        bright = Image.fromarray(bright.astype(np.uint8))
        blurred = bright.filter(ImageFilter.GaussianBlur(0.02 * side))
        image = image + 1.2 / 255 * np.asarray(blurred, np.float32)
    if light.wet > 0.9:
        y, x = np.indices((h, w), np.float32) * (GRAIN / side)
        drops = noise_texture("white", x + y * 0.12, y * 0.06 + x * 17) > 0.93
        image = image + 0.05 * drops[..., None]
    exposed = 1 - np.exp(-1.35 * image)
    image = np.sqrt(np.maximum(exposed, 0))
    y = np.linspace(-1, 1, h, dtype=np.float32)[:, None]
    x = np.linspace(-1, 1, w, dtype=np.float32)
    vignette = 1 - 0.1 * (x * x + y * y)
    image *= vignette[..., None]
    grain = rng.standard_normal((h, w), np.float32) * 0.012
    image += grain[..., None]
    image[exposed < 0] = 0  # a mirror took more light than there was
    return _as_bytes(image)


def sensor_noise(image, rng, dose: float):
    """Add the noise of a sensor to an image uint8 (H, W, 3); returns another one.

    Each value v, in [0, 1], gets Gaussian noise of its own with the standard deviation
    dose * sqrt(READ_NOISE ** 2 + SHOT_NOISE ** 2 * v): that of reading the sensor out, and that of
    the photons counted, whose variance is in proportion to the light.
    """
    value = image.astype(np.float32) / 255
    variance = READ_NOISE**2 + SHOT_NOISE**2 * value
    deviation = dose * np.sqrt(variance)
    noise = rng.standard_normal(image.shape, np.float32)
    return _as_bytes(value + deviation * noise)


def _as_bytes(image):
    """Return an image in [0, 1], clipped, as uint8."""
    scaled = np.clip(image, 0, 1) * 255
    return (scaled + 0.5).astype(np.uint8)
