"""Textures by place: noise, road paint, ground, façades, walls and sky, for arrays of points (n,)."""

from functools import cache

import numpy as np

from lib.scenes import objects as paint
from lib.scenes.objects import Label, rgb

GRAIN = 512  # texels along one side of a noise texture

# Ground: asphalt, paving, kerb, grass, paint.
SURFACES = rgb((104, 104, 108), (158, 152, 144), (176, 172, 166), (98, 118, 62), (226, 224, 214))
SURFACE_LABEL = np.array([Label.ROAD, Label.SIDEWALK, Label.SIDEWALK, Label.VEGETATION, Label.ROADLINE], np.uint8)


@cache
def _textures() -> dict:
    """Periodic noise in [0, 1], flattened: `smooth` for clouds and stains, `fine` for grain, `white` for lots."""
    white = np.random.default_rng(2015).random((GRAIN, GRAIN))
    frequency = np.hypot(*np.meshgrid(np.fft.fftfreq(GRAIN), np.fft.fftfreq(GRAIN)))
    result = {"white": white.astype(np.float32).ravel()}
    for name, power, cut in (("smooth", 1.7, 4), ("fine", 0.7, 12)):
        texture = np.fft.ifft2(np.fft.fft2(white - 0.5) / np.maximum(frequency, cut / GRAIN) ** power).real
        result[name] = np.clip(0.5 + 0.21 * texture / texture.std(), 0, 1).astype(np.float32).ravel()
    return result


def noise(kind, a, b):
    """The texture `kind` at columns a and rows b, in texels."""
    index = (b + 65536.0).astype(np.int32) & (GRAIN - 1)
    index *= GRAIN
    index += (a + 65536.0).astype(np.int32) & (GRAIN - 1)
    return _textures()[kind].take(index)


def _cover(inside, width):
    """How much of a pixel `width` metres wide an edge covers that lies `inside` metres further out."""
    return np.clip(inside / width + 0.5, 0, 1)


def _paint(street, s, z, pixel):
    """Share of painted road at (s, z): dashes, edge lines, parking bays, crossings and stop lines."""
    (first, last), across, long = street.junction, np.abs(s), z * pixel / 1.6
    half = np.maximum(0.07, 0.25 * pixel)
    dash = _cover(1.75 - np.abs((z + street.seed) % 9 - 4.5), long)
    middle = across if street.lanes % 2 == 0 else np.abs(across - street.lane / 2)
    if street.lines[1] and street.lanes == 2:
        line = _cover(half - np.abs(middle - 0.17), pixel)
    else:
        line = np.minimum(_cover(half - middle, pixel), dash)
    if street.lanes == 4:
        line = np.maximum(line, np.minimum(_cover(half - np.abs(across - street.lane), pixel), dash))
    if street.lines[0] or street.parking:
        edge = _cover(half - np.abs(across - street.carriageway + 0.3 * (not street.parking)), pixel)
        bays = 1 if street.lines[0] else _cover(0.6 - np.abs(z % 2.4 - 1.2), long)
        line = np.maximum(line, np.minimum(edge, bays))
    line *= (z < first - 6) | (z > last + 6)
    for crossing in street.crossings:
        bars = np.minimum(_cover(0.28 - np.abs(s % 1.1 - 0.55), pixel), _cover(1.5 - np.abs(z - crossing - 1.5), long))
        stop = _cover(0.22 - np.abs(z - crossing + 1.2), long) * (s * street.drive > 0.1)
        stop, bars = stop * (across < street.carriageway), bars * (across < street.half - 0.2)
        line = np.maximum(line, np.maximum(bars, stop))
    return line


def ground_at(street, s, z, kerb, paved, scale):
    """Labels, colours (n, 3) and stains of ground points at (s, z)."""
    across, worn, near = np.abs(s), noise("smooth", s * 40 + street.seed, z * 40), np.clip(14 / z, 0, 1)
    surface = np.where(paved, np.where((across > street.front) & street.green, 3, 1), np.where(kerb, 2, 0))
    road, slab = surface == 0, surface == 1
    tone = 0.86 + 0.28 * worn + near * (noise("fine", s * 34, z * 34) - 0.5) * np.where(surface == 3, 1.1, 0.42)
    track = np.abs(np.abs(s % street.lane / street.lane - 0.5) - 0.25)
    dark = 0.16 * np.clip(1 - track * 8, 0, 1) + 0.2 * (across > street.half - 0.3) + 0.3 * (np.abs(worn - 0.5) < 0.008)
    lot = noise("white", np.floor(s / 1.9) * 7 + street.seed, np.floor(z / 5) * 3)
    manhole = (s - street.lane * 0.5) ** 2 + ((z + street.seed) % 26 - 13) ** 2 < 0.14
    tone *= 1 - road * (dark + 0.26 * (lot > 0.93) + 0.45 * manhole)
    joint = (s % 0.9 < 0.05) | (z % 0.9 < 0.05)
    tone *= 1 + slab * near * (0.22 * noise("white", np.floor(s / 0.9), np.floor(z / 0.9)) - 0.11 - 0.3 * joint)
    paint = np.where(road & (worn > 0.22), _paint(street, s, z, z / scale), 0)
    colour = SURFACES[surface]
    colour += paint[:, None] * (SURFACES[4] - colour)
    return SURFACE_LABEL[np.where(paint > 0.5, 4, surface)], colour * tone[:, None], worn


def facade_at(light, texture, u, y, z, colour, pixel):
    """Windows, doors, shop fronts and bricks: colour (n, 3) changed in place; returns glow (n,)."""
    bay, storey, height, shop, brick, seed, wide, high = texture.T
    i, j, row = np.floor(u / bay), np.floor(y / storey), np.floor(y / 0.16)
    fu, fv = np.abs(u / bay - i - 0.5), y / storey - j
    lot = noise("white", i * 3 + seed, j * 7 + seed * 3)
    bricks = noise("white", np.floor(u / 0.34 + row * 0.5) + seed, row) - 0.5
    bricks *= np.clip(16 / z, 0, 1) * (0.12 + 0.38 * brick)
    tone = 0.9 + 0.3 * (noise("smooth", u * 14 + seed, y * 9) - 0.5) + bricks
    tone *= 1 - 0.22 * ((fv < 0.05) | (y > height - 0.35)) - 0.15 * (y < 0.6)
    store, door = (j < 1) & (shop > 0), (j < 1) & (shop == 0) & (lot < 0.3)
    wide = np.where(store, 0.43, np.where(door, 0.2, wide / 2))
    low = np.where(store, 0.12, np.where(door, 0, 0.5 - high / 2))
    top = np.where(store | door, 0.71, 0.5 + high / 2)
    inside = np.minimum((wide - fu) * bay, np.minimum(fv - low, top - fv) * storey)
    inside = np.where(y < height - 0.6, inside, -1)
    pane, frame = _cover(inside, pixel), _cover(inside + 0.12, pixel) * ~store
    colour *= (tone * (1 + 0.35 * frame))[:, None]
    own = (seed * 7).astype(int) % len(paint.CLOTHES)
    board = store & (fv > 0.76)
    colour[board] = paint.CLOTHES[own[board]]
    glass = (light.horizon * 0.16 + 0.012) * (0.35 + 1.1 * lot)[:, None]
    goods = store & (fv < 0.5) & (noise("white", np.floor(u * 1.7) + seed, np.floor(y * 1.6) + seed) > 0.45)
    shelf = noise("white", np.floor(u[goods] * 1.7) * 5 + seed[goods], np.floor(y[goods] * 1.6)) * len(paint.CAR_PAINT)
    glass[goods] = paint.CAR_PAINT[shelf.astype(int)] * 0.7
    glass[door] = paint.CLOTHES[own[door]] * 0.5
    lamp = ((lot > 1 - 0.42 * light.lamps) | store) & ~door & ~goods & (light.lamps > 0)
    glass[lamp] = rgb(255, 206, 132) * (0.4 + 0.5 * lot[lamp, None])
    colour += pane[:, None] * (glass - colour)
    return 0.55 * pane * (lamp | (goods & (light.lamps > 0)))


def masonry_at(light, texture, u, y, z, colour, pixel):
    """Bricks or panels, stains and posters: colour (n, 3) changed in place; nothing glows."""
    _, _, height, _, brick, seed, *_ = texture.T
    row, cell = np.floor(y / 0.2), np.floor(u / 1.7)
    bricks = (0.1 + 0.4 * brick) * (noise("white", np.floor(u / 0.42 + row * 0.5) + seed, row) - 0.5)
    joint = (brick == 0) & (u % 2.5 < 0.06)
    stain = 0.4 * (noise("smooth", u * 20 + seed, y * 14) - 0.5)
    colour *= (0.9 + stain + np.clip(16 / z, 0, 1) * (bricks - 0.3 * joint))[:, None]
    poster = (noise("white", cell + seed, cell) > 0.72) & (height > 1.4)
    poster &= (np.abs(u / 1.7 - cell - 0.5) < 0.36) & (np.abs(y - 0.62 * height) < 0.3 * height)
    stripe = noise("white", cell[poster] * 3 + seed[poster], np.floor(y[poster] * 3.2)) * len(paint.SIGNS)
    colour[poster] = paint.SIGNS[stripe.astype(int)]
    return 0


def sky_at(street, across, down):
    """Linear colour (n, 3) of the sky along rays (across, down): gradient, clouds, the glow of the sun, stars."""
    light, up, (x, y, ahead) = street.weather, np.maximum(-down, 0), street.sun
    blend = np.clip(up / 0.55, 0, 1)[:, None] ** 0.65
    colour = light.horizon * (1 - blend) + light.zenith * blend
    glow = np.exp(-((across - x / ahead) ** 2 + (up - y / ahead) ** 2) * 20)[:, None] if ahead > 0.1 else 0
    if light.clouds:
        far = 1 / (up + 0.16)
        n = noise("smooth", across * far * 90 + street.seed, far * 90 + street.seed)
        cover = (0.8 * np.clip((n - 0.62 + 0.3 * light.clouds) * 3.2, 0, 1) * np.clip(up * 9, 0, 1))[:, None]
        lit = light.horizon * 0.75 + light.sun * 0.12 + light.ambient * 0.16 + 0.6 * light.sun * glow
        colour += cover * (lit * (1.15 - 0.5 * n)[:, None] - colour)
    if light.lamps > 1:
        colour += (noise("white", across * 420, up * 420) > 0.9975)[:, None] * 0.35
    return colour + 0.25 * light.sun * glow
