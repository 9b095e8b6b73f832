"""Textures by place, for points (n,): noise, road paint, ground, façades, walls and sky."""

from functools import cache

import numpy as np

from lib.scenes.stage import CAR_PAINT, CLOTHES, SIGNS, Label, linear

GRAIN = 512  # texels along one side of a noise texture

# What the ground is made of, with its colour and its class.
ASPHALT, PAVING, KERB, GRASS, PAINT = range(5)
SURFACES = linear("#68686c #9e9890 #b0aca6 #62763e #e2e0d6")
LABELS = (Label.ROAD, Label.SIDEWALK, Label.SIDEWALK, Label.VEGETATION, Label.ROADLINE)
SURFACE_LABEL = np.array(LABELS, np.uint8)


@cache
def _textures() -> dict:
    """Return periodic noise in [0, 1], flattened.

    There is `smooth` for clouds and stains, `fine` for grain and `white` for lots.
    """
    white = np.random.default_rng(2015).random((GRAIN, GRAIN))
    spectrum = np.fft.fft2(white - 0.5)
    along = np.fft.fftfreq(GRAIN)
    frequency = np.hypot(*np.meshgrid(along, along))
    result = {"white": white.astype(np.float32).ravel()}
    for name, power, cut in (("smooth", 1.7, 4), ("fine", 0.7, 12)):
        damping = np.maximum(frequency, cut / GRAIN) ** power
        texture = np.fft.ifft2(spectrum / damping).real
        texture = 0.21 * texture / texture.std()
        texture = np.clip(0.5 + texture, 0, 1)
        result[name] = texture.astype(np.float32).ravel()
    return result


def noise_texture(kind, a, b):
    """Return the texture `kind` at columns a and rows b, in texels."""
    # Shifted above 0, where a conversion to whole numbers rounds down.
    row = (b + 65536.0).astype(np.int32) & (GRAIN - 1)
    column = (a + 65536.0).astype(np.int32) & (GRAIN - 1)
    texture = _textures()[kind]
    return texture.take(row * GRAIN + column)


def _coverage(inside, width):
    """Return the share of a pixel that an edge `inside` metres further out covers."""
    return np.clip(inside / width + 0.5, 0, 1)


def _paint(street, s, z, pixel):
    """Return the share of paint at (s, z): dashes, edge lines, bays, crossings and stop lines."""
    first, last = street.junction
    across = np.abs(s)
    long = z * pixel / 1.6
    half = np.maximum(0.07, 0.25 * pixel)
    period = (z + street.seed) % 9
    dash = _coverage(1.75 - np.abs(period - 4.5), long)
    edges, double = street.lines
    middle = across
    if street.lanes % 2:
        middle = np.abs(across - street.lane / 2)
    if double and street.lanes == 2:
        line = _coverage(half - np.abs(middle - 0.17), pixel)
    else:
        line = np.minimum(_coverage(half - middle, pixel), dash)
    if street.lanes == 4:
        between = _coverage(half - np.abs(across - street.lane), pixel)
        line = np.maximum(line, np.minimum(between, dash))
    if edges or street.parking:
        inset = 0 if street.parking else 0.3
        away = np.abs(across - street.carriageway + inset)
        edge = _coverage(half - away, pixel)
        if not edges:  # the line is broken between the bays
            bays = _coverage(0.6 - np.abs(z % 2.4 - 1.2), long)
            edge = np.minimum(edge, bays)
        line = np.maximum(line, edge)
    line *= (z < first - 6) | (z > last + 6)
    for crossing in street.crossings:
        bars = _crossing(street, s, z - crossing, pixel, long)
        line = np.maximum(line, bars)
    return line


def _crossing(street, s, z, pixel, long):
    """Return the share of paint of a crossing's bars, z metres behind its start, and stop line."""
    across = np.abs(s)
    bars = _coverage(0.28 - np.abs(s % 1.1 - 0.55), pixel)
    length = _coverage(1.5 - np.abs(z - 1.5), long)
    bars = np.minimum(bars, length)
    bars = bars * (across < street.half - 0.2)
    stop = _coverage(0.22 - np.abs(z + 1.2), long)
    own_side = s * street.drive > 0.1
    stop = stop * own_side
    stop = stop * (across < street.carriageway)
    return np.maximum(bars, stop)


def ground_at(street, s, z, kerb, paved, scale):
    """Return labels, colours (n, 3) and stains of ground points at (s, z)."""
    across = np.abs(s)
    worn = noise_texture("smooth", s * 40 + street.seed, z * 40)
    near = np.clip(14 / z, 0, 1)
    beyond = paved & (across > street.front)
    surface = np.where(kerb, KERB, ASPHALT)
    surface = np.where(paved, PAVING, surface)
    surface = np.where(beyond & street.green, GRASS, surface)
    road = surface == ASPHALT
    slab = surface == PAVING
    grain = noise_texture("fine", s * 34, z * 34) - 0.5
    rough = np.where(surface == GRASS, 1.1, 0.42)
    tone = 0.86 + 0.28 * worn + near * grain * rough
    # Tyres darken their tracks, the gutter is dark, and stains end in cracks.
    place = s % street.lane / street.lane  # share of the lane from its edge
    track = np.abs(np.abs(place - 0.5) - 0.25)
    gutter = across > street.half - 0.3
    crack = np.abs(worn - 0.5) < 0.008
    dark = 0.16 * np.clip(1 - track * 8, 0, 1)
    dark = dark + 0.2 * gutter
    dark = dark + 0.3 * crack
    column = np.floor(s / 1.9) * 7 + street.seed
    row = np.floor(z / 5) * 3
    patch = noise_texture("white", column, row) > 0.93
    right = s - street.lane * 0.5
    ahead = (z + street.seed) % 26 - 13
    manhole = right**2 + ahead**2 < 0.14
    tone *= 1 - road * (dark + 0.26 * patch + 0.45 * manhole)
    joint = (s % 0.9 < 0.05) | (z % 0.9 < 0.05)
    column = np.floor(s / 0.9)
    row = np.floor(z / 0.9)
    flag = 0.22 * noise_texture("white", column, row)
    tone *= 1 + slab * near * (flag - 0.11 - 0.3 * joint)
    paint = _paint(street, s, z, z / scale)
    painted = np.where(road & (worn > 0.22), paint, 0)
    colour = SURFACES[surface]
    colour += painted[:, None] * (SURFACES[PAINT] - colour)
    label = SURFACE_LABEL[np.where(painted > 0.5, PAINT, surface)]
    return label, colour * tone[:, None], worn


def facade_at(light, texture, u, y, z, colour, pixel):
    """Paint windows, doors, shops and bricks into colour (n, 3) in place; return the glow (n,)."""
    bay, storey, height, shop, brick, seed, wide, high = texture.T
    i = np.floor(u / bay)
    j = np.floor(y / storey)
    row = np.floor(y / 0.16)
    fu = np.abs(u / bay - i - 0.5)  # share of the bay from its middle
    fv = y / storey - j  # share of the storey from its floor
    lot = noise_texture("white", i * 3 + seed, j * 7 + seed * 3)
    bond = np.floor(u / 0.34 + row * 0.5)
    bricks = noise_texture("white", bond + seed, row) - 0.5
    near = np.clip(16 / z, 0, 1)
    bricks *= near * (0.12 + 0.38 * brick)
    stain = noise_texture("smooth", u * 14 + seed, y * 9) - 0.5
    tone = 0.9 + 0.3 * stain + bricks
    ledge = (fv < 0.05) | (y > height - 0.35)
    base = y < 0.6
    tone *= 1 - 0.22 * ledge - 0.15 * base
    store = (j < 1) & (shop > 0)
    door = (j < 1) & (shop == 0) & (lot < 0.3)
    # What is of glass or a door: half its width, its foot and its top, in shares.
    half = np.where(door, 0.2, wide / 2)
    half = np.where(store, 0.43, half)
    low = np.where(door, 0, 0.5 - high / 2)
    low = np.where(store, 0.12, low)
    top = np.where(store | door, 0.71, 0.5 + high / 2)
    across = (half - fu) * bay
    up = np.minimum(fv - low, top - fv) * storey
    inside = np.minimum(across, up)
    inside = np.where(y < height - 0.6, inside, -1)
    pane = _coverage(inside, pixel)
    frame = _coverage(inside + 0.12, pixel) * ~store
    colour *= (tone * (1 + 0.35 * frame))[:, None]
    own = (seed * 7).astype(int) % len(CLOTHES)
    board = store & (fv > 0.76)
    colour[board] = CLOTHES[own[board]]
    reflected = light.horizon * 0.16 + 0.012
    glass = reflected * (0.35 + 1.1 * lot)[:, None]
    place = np.floor(u * 1.7)
    shelf = np.floor(y * 1.6)
    stocked = noise_texture("white", place + seed, shelf + seed) > 0.45
    goods = store & (fv < 0.5) & stocked
    kind = place[goods] * 5 + seed[goods]
    tint = noise_texture("white", kind, shelf[goods]) * len(CAR_PAINT)
    glass[goods] = CAR_PAINT[tint.astype(int)] * 0.7
    glass[door] = CLOTHES[own[door]] * 0.5
    dark = light.lamps > 0
    awake = lot > 1 - 0.42 * light.lamps
    lamp = (awake | store) & ~door & ~goods & dark
    bright = 0.4 + 0.5 * lot[lamp, None]
    glass[lamp] = linear("#ffce84") * bright
    colour += pane[:, None] * (glass - colour)
    return 0.55 * pane * (lamp | (goods & dark))


def masonry_at(light, texture, u, y, z, colour, pixel):
    """Paint bricks or panels, stains and posters into colour (n, 3) in place; nothing glows."""
    _, _, height, _, brick, seed, *_ = texture.T
    row = np.floor(y / 0.2)
    cell = np.floor(u / 1.7)
    bond = np.floor(u / 0.42 + row * 0.5)
    bricks = noise_texture("white", bond + seed, row) - 0.5
    bricks = (0.1 + 0.4 * brick) * bricks
    joint = (brick == 0) & (u % 2.5 < 0.06)
    stain = noise_texture("smooth", u * 20 + seed, y * 14) - 0.5
    near = np.clip(16 / z, 0, 1)
    tone = 0.9 + 0.4 * stain + near * (bricks - 0.3 * joint)
    colour *= tone[:, None]
    chosen = noise_texture("white", cell + seed, cell) > 0.72
    poster = chosen & (height > 1.4)
    poster &= np.abs(u / 1.7 - cell - 0.5) < 0.36
    poster &= np.abs(y - 0.62 * height) < 0.3 * height
    kind = cell[poster] * 3 + seed[poster]
    stripe = noise_texture("white", kind, np.floor(y[poster] * 3.2))
    tint = stripe * len(SIGNS)
    colour[poster] = SIGNS[tint.astype(int)]
    return 0


def sky_at(street, across, down):
    """Return the linear colour (n, 3) of the sky along rays: gradient, clouds, sun and stars."""
    light = street.weather
    up = np.maximum(-down, 0)
    x, y, ahead = street.sun
    blend = np.clip(up / 0.55, 0, 1)
    blend = blend[:, None] ** 0.65
    colour = light.horizon * (1 - blend) + light.zenith * blend
    glow = 0
    if ahead > 0.1:
        right = across - x / ahead
        above = up - y / ahead
        away = right**2 + above**2
        glow = np.exp(-away * 20)[:, None]
    if light.clouds:
        far = 1 / (up + 0.16)
        column = across * far * 90 + street.seed
        row = far * 90 + street.seed
        n = noise_texture("smooth", column, row)
        dense = (n - 0.62 + 0.3 * light.clouds) * 3.2
        cover = 0.8 * np.clip(dense, 0, 1)
        cover = cover * np.clip(up * 9, 0, 1)
        lit = light.horizon * 0.75
        lit = lit + light.sun * 0.12
        lit = lit + light.ambient * 0.16
        lit = lit + 0.6 * light.sun * glow
        cloud = lit * (1.15 - 0.5 * n)[:, None]
        colour += cover[:, None] * (cloud - colour)
    if light.lamps > 1:
        star = noise_texture("white", across * 420, up * 420) > 0.9975
        colour += star[:, None] * 0.35
    return colour + 0.25 * light.sun * glow
