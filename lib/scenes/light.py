"""Light: from what every sample shows to linear light, and from that to an image."""

import numpy as np
from PIL import Image, ImageFilter

from lib.scenes.objects import Label, Material, rgb
from lib.scenes.surfaces import GRAIN, facade_at, ground_at, masonry_at, noise, sky_at
from lib.scenes.world import FAR, KERB

# Standard deviations of a sensor's noise at dose 1, in units of the image's range: of reading a
# pixel, whatever its value, and of counting photons, at full brightness.
READ_NOISE, SHOT_NOISE = 0.02, 0.04


def _look_up(at, table) -> dict:
    """What each sample shows, by name: the attributes of its polygon; the ground and the sky are filled in later."""
    seen = {name: table[name].take(at.ids, 0) for name in ("label", "colour", "depth", "lit", "sky", "material")}
    seen["glow"] = 1.5 * (seen["material"] == Material.GLOW).astype(np.float32)
    seen["mirror"] = np.zeros(len(at.ids), np.float32)
    return seen


def _lay_ground(street, camera, at, seen, x, down, scale):
    """The road, its kerb and the pavement above it, where no polygon is; returns the samples of the sky."""
    road_z, walk_z = camera.ground_depth(down), camera.ground_depth(down, KERB)
    below = (road_z < FAR)[at.row]
    ground = np.flatnonzero((at.ids < 0) & below)
    zr, zw, x = road_z[at.row[ground]], walk_z[at.row[ground]], x[ground]
    sr, sw = x * zr - camera.shift(zr), x * zw - camera.shift(zw)
    paved = (np.abs(sw) > street.half) & ~street.at_junction(zw)
    kerb = (np.abs(sr) > street.half) & ~street.at_junction(zr) & ~paved
    z = np.where(paved, zw, zr)
    seen["depth"][ground] = z
    seen["label"][ground], seen["colour"][ground], worn = ground_at(
        street, np.where(paved, sw, sr), z, kerb, paved, scale / 2
    )
    seen["lit"][ground] = np.where(kerb, 0.3, 1) * street.sun[1]
    seen["sky"][ground] = np.where(at.shadow[ground] == 2, 0.35, 1)
    share, puddle = np.clip(0.12 + z / 90, 0, 0.5), np.clip((worn - 0.55) * 6, 0, 1) * ~paved
    seen["mirror"][ground] = street.weather.wet * (share + (0.75 - share) * puddle)
    return np.flatnonzero((at.ids < 0) & ~below)


def _texture(light, camera, at, seen, table, x, down, scale):
    """Façades and walls by the point of their plane that a sample's ray meets; leaves by place."""
    for kind, painter in ((Material.FACADE, facade_at), (Material.MASONRY, masonry_at)):
        flat = np.flatnonzero(seen["material"] == kind)
        xa, za, xb, zb = table["plane"].take(at.ids[flat], 0).T
        length = np.hypot(xb - xa, zb - za)
        dx, dz = (xb - xa) / length, (zb - za) / length
        u = np.clip((xa - x[flat] * za) / (x[flat] * dz - dx + 1e-9), 0, length)
        z, colour = za + dz * u, seen["colour"][flat]
        y = camera.height(down[at.row[flat]], z) - KERB
        glow = painter(light, table["texture"].take(at.ids[flat], 0), u, y, z, colour, z * 2 / scale)
        seen["depth"][flat], seen["colour"][flat], seen["glow"][flat] = z, colour, glow
    leaf = np.flatnonzero(seen["material"] == Material.FOLIAGE)
    z = seen["depth"][leaf]
    fine = np.clip(240 / z, 4, 26)
    grain = noise("fine", x[leaf] * z * fine + at.ids[leaf] * 31, down[at.row[leaf]] * z * fine)
    seen["colour"][leaf] *= (0.55 + 0.9 * grain)[:, None]
    seen["lit"][leaf] = 0.25 + 0.5 * seen["lit"][leaf]


def _sunlit(street, s, y, z):
    """Share of the sun, in [0, 1], that the houses on its side let through to points of the street."""
    flat = float(np.hypot(street.sun[0], street.sun[2]))
    side, steep = 1 if street.sun[0] > 0 else -1, float(street.sun[1]) / flat
    path = (street.front - side * s) / max(abs(float(street.sun[0])) / flat, 0.05)
    place = np.clip(z + path * (float(street.sun[2]) / flat) + 60, 0, 399).astype(np.int32)
    free = np.clip((y + path * steep - street.skyline[(side + 1) // 2].take(place)) * 2.5 + 1, 0, 1)
    return np.where(path < 0, 1, free)


def shade(street, camera, at, table):
    """Labels (n,), and linear light with the share of mirroring (n, 4), of the samples."""
    light, (across, down, scale) = street.weather, camera.ray((2 * at.size[0], 2 * at.size[1]))
    x, seen = across[at.column], _look_up(at, table)
    above = _lay_ground(street, camera, at, seen, x, down, scale)
    _texture(light, camera, at, seen, table, x, down, scale)
    z, glow, colour, lit = seen["depth"], seen["glow"], seen["colour"], seen["lit"]
    s, y = x * z - camera.shift(z), camera.height(down[at.row], z)
    if light.sun.max() > 0.3:
        lit *= _sunlit(street, s, y, z) * ((at.ids >= 0) | (at.shadow == 0))
    power = seen["sky"][:, None] * light.ambient + lit[:, None] * light.sun
    if light.lamps:
        along = (z - street.lamp + 12) % 24 - 12
        for side in (-1, 1):
            away = (s - side * (street.half - 1.2)) ** 2 + (along - 3 * side) ** 2 + 0.15 * (5.5 - y) ** 2
            power += (0.55 * light.lamps / (1 + away / 6))[:, None] * rgb(255, 200, 128)
    colour *= power * np.maximum(1 - glow, 0)[:, None] + 1.6 * glow[:, None]
    air = np.exp(z * (-1 / light.sight))[:, None]
    colour = colour * air + (1 - air) * light.horizon
    colour[above], seen["label"][above] = sky_at(street, x[above], down[at.row[above]]), Label.UNLABELED
    return seen["label"], np.column_stack([colour, seen["mirror"]])


def develop(colour, light, horizon, rng):
    """Linear light and mirroring (H, W, 4) -> image uint8 (H, W, 3): reflections, bloom, tone, vignette, grain."""
    image, share, (h, w) = colour[..., :3], colour[..., 3:], colour.shape[:2]
    if light.wet:
        up = np.clip(1.95 * horizon * h - 0.95 * np.arange(h), 0, h - 1).astype(int)
        blurred = sum(image[np.clip(up + d * h // 80, 0, h - 1)] for d in (-2, -1, 0, 1, 2)) / 5
        image = image * (1 - 0.9 * share) + blurred * share
    if light.lamps:
        bright = Image.fromarray((np.clip(image - 0.75, 0, 1) * 255).astype(np.uint8))
        blur = ImageFilter.GaussianBlur(0.02 * float(h * w) ** 0.5)
        image = image + 1.2 / 255 * np.asarray(bright.filter(blur), np.float32)
    if light.wet > 0.9:
        y, x = np.indices((h, w), np.float32) * (GRAIN / float(h * w) ** 0.5)
        image = image + 0.05 * (noise("white", x + y * 0.12, y * 0.06 + x * 17) > 0.93)[..., None]
    image = np.sqrt(1 - np.exp(-1.35 * image))
    y, x = np.linspace(-1, 1, h, dtype=np.float32)[:, None], np.linspace(-1, 1, w, dtype=np.float32)
    image *= (1 - 0.1 * (x * x + y * y))[..., None]
    image += (rng.standard_normal((h, w), np.float32) * 0.012)[..., None]
    return (np.clip(image, 0, 1) * 255 + 0.5).astype(np.uint8)


def sensor_noise(image, rng, dose: float):
    """Add the noise of a sensor to an image uint8 (H, W, 3); returns another one.

    Each value v, in [0, 1], gets Gaussian noise of its own with the standard deviation
    dose * sqrt(READ_NOISE ** 2 + SHOT_NOISE ** 2 * v): that of reading the sensor out, and that of
    the photons counted, whose variance is in proportion to the light.
    """
    value = image.astype(np.float32) / 255
    deviation = dose * np.sqrt(READ_NOISE**2 + SHOT_NOISE**2 * value)
    noisy = value + deviation * rng.standard_normal(image.shape, np.float32)
    return (np.clip(noisy, 0, 1) * 255 + 0.5).astype(np.uint8)
