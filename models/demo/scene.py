"""Procedural aerial scenes with the outline of every object: ponds, woods, buildings, fields and roads on grassland.

The scenes are simple on purpose: five kinds that look different, objects that keep a distance from each other, clear edges.
A small network learns them in an hour on a CPU; it knows nothing else. Everything is drawn from one seed.
"""

from dataclasses import dataclass

import cv2
import numpy as np

KINDS = ("pond", "wood", "building", "field", "road")
GAP = 16  # pixels kept free around every object

GRASS = [(118, 136, 78), (134, 146, 88), (128, 132, 92), (108, 132, 84), (146, 146, 98)]
POND = [(38, 62, 96), (46, 74, 108), (30, 54, 82), (52, 84, 104)]
WOOD = [(34, 62, 34), (42, 70, 40), (28, 54, 32)]
ROOF = [(186, 92, 74), (214, 208, 200), (204, 128, 92), (166, 74, 66), (232, 226, 214)]
FIELD = [(212, 196, 138), (226, 208, 150), (200, 176, 120), (188, 196, 134)]
ROAD = [(158, 156, 154), (174, 170, 166), (142, 140, 140)]
SIZES = {"pond": (20, 60), "wood": (32, 78), "building": (15, 33), "field": (45, 100)}  # half extents, pixels
DENSITY = {"pond": 2.6, "wood": 2.4, "building": 8.0, "field": 2.2}  # objects per 512 x 512 pixels, tried


@dataclass
class Object:
    """One object of a scene: its kind and its number in the map of objects (0 there is the ground)."""

    kind: str
    number: int


def noise(rng, height, width, cell):
    """Smooth noise of about unit deviation with structures of `cell` pixels."""
    grid = rng.standard_normal((height // cell + 3, width // cell + 3)).astype(np.float32)
    return cv2.resize(grid, (width, height), interpolation=cv2.INTER_CUBIC) * 1.3


def blob(rng, radius, roughness):
    """Outline points of a round shape with a few harmonics, around the origin."""
    angle = np.linspace(0, 2 * np.pi, 72, endpoint=False)
    shape = np.ones_like(angle)
    for harmonic in range(2, 7):
        shape += roughness / harmonic * rng.normal() * np.cos(harmonic * angle + rng.uniform(0, 2 * np.pi))
    stretch, turn = rng.uniform(1, 1.5), rng.uniform(0, np.pi)
    x, y = radius * shape * np.cos(angle) * stretch, radius * shape * np.sin(angle) / stretch
    return np.stack([x * np.cos(turn) - y * np.sin(turn), x * np.sin(turn) + y * np.cos(turn)], 1)


def rectangle(half_width, half_height, turn):
    """Corners of a rectangle around the origin."""
    corners = np.array([[-1, -1], [1, -1], [1, 1], [-1, 1]]) * (half_width, half_height)
    return corners @ np.array([[np.cos(turn), np.sin(turn)], [-np.sin(turn), np.cos(turn)]])


def outline(rng, kind, turn):
    """The outline of a new object around the origin, and the angle of its rows or ridge."""
    low, high = SIZES[kind]
    if kind in ("pond", "wood"):
        size = low * (high / low) ** rng.random()
        return blob(rng, size, 0.16 if kind == "pond" else 0.28), 0.0
    angle = turn + rng.choice([0, np.pi / 2]) + rng.normal(0, 0.12)
    width = rng.uniform(low, high)
    height = rng.uniform(max(low, 0.5 * width), width) if kind == "field" else rng.uniform(0.8 * low, min(width, 24))
    return rectangle(width, height, angle), angle


def fill(shape, points):
    """A mask of the polygon, with pixel centres decided by cv2 at 1/16 of a pixel."""
    mask = np.zeros(shape, np.uint8)
    cv2.fillPoly(mask, [np.round(points * 16).astype(np.int32)], 1, shift=4)
    return mask.astype(bool)


def paint_object(rng, image, mask, kind, angle, middle):
    """Colours the pixels of one object."""
    rows, cols = np.nonzero(mask)
    palette = {"pond": POND, "wood": WOOD, "building": ROOF, "field": FIELD, "road": ROAD}[kind]
    colour = np.array(palette[rng.integers(len(palette))], np.float32) + rng.normal(0, 5, 3)
    value = np.repeat(colour[None], len(rows), 0)
    across = (cols - middle[0]) * np.sin(angle) - (rows - middle[1]) * np.cos(angle)
    if kind == "wood":
        crowns = noise(rng, *mask.shape, 5)[mask] * 10 + noise(rng, *mask.shape, 11)[mask] * 6
        value += crowns[:, None] * (0.9, 1.0, 0.8)
    elif kind == "field":
        value += (np.sin(across * 2 * np.pi / rng.uniform(6, 11)) * rng.uniform(7, 13))[:, None]
    elif kind == "building":
        value *= np.where(across > 0, 1.0, rng.uniform(0.78, 0.9))[:, None]
    elif kind == "pond":
        value += (noise(rng, *mask.shape, 24)[mask] * 3)[:, None]
    image[mask] = value


def add_roads(rng, image, numbers, objects):
    """No, one or two winding roads that do not touch each other."""
    height, width = numbers.shape
    taken = np.zeros((height, width), np.uint8)
    for _ in range(int(rng.choice([0, 1, 1, 2])) * max(1, round(height * width / 1024**2))):
        upright = rng.random() < 0.5
        length, breadth = (height, width) if upright else (width, height)
        along = np.linspace(-20, length + 20, 60)
        offset = rng.uniform(0.1, 0.9) * breadth + rng.normal(0, 0.08) * (along - length / 2)
        offset += rng.uniform(5, 30) * np.sin(along / rng.uniform(70, 200) + rng.uniform(0, 6))
        line = np.stack([offset, along] if upright else [along, offset], 1)
        mask = np.zeros((height, width), np.uint8)
        cv2.polylines(mask, [np.round(line * 16).astype(np.int32)], False, 1, int(rng.integers(12, 21)), shift=4)
        if (mask & taken).any():
            continue
        taken |= cv2.dilate(mask, np.ones((2 * GAP, 2 * GAP), np.uint8))
        objects.append(Object("road", len(objects) + 1))
        numbers[mask > 0] = len(objects)
        paint_object(rng, image, mask > 0, "road", 0.0, (0, 0))


def add_object(rng, image, numbers, free, objects, kind, turn):
    """Tries to place one object; it stays away if there is no room where it fell."""
    height, width = numbers.shape
    points, angle = outline(rng, kind, turn)
    middle = np.array([rng.uniform(0, width), rng.uniform(0, height)])
    points = points + middle
    reach = GAP + 12
    left, top = np.maximum(np.floor(points.min(0)).astype(int) - reach, 0)
    right, bottom = np.minimum(np.ceil(points.max(0)).astype(int) + reach, (width, height))
    if right - left < 8 or bottom - top < 8:
        return
    window = np.s_[top:bottom, left:right]
    local = points - (left, top)
    mask = fill((bottom - top, right - left), local)
    if mask.sum() < 350 or not free[window][mask].all():
        return
    keep_out = mask.astype(np.uint8)
    if kind == "building":
        fall = np.array([rng.uniform(5, 8), rng.uniform(5, 8)])
        shadow = mask.copy()
        for step in np.linspace(0.25, 1, 4):
            shadow |= fill(mask.shape, local + fall * step)
        image[window][shadow] *= 0.55
        keep_out |= shadow
    objects.append(Object(kind, len(objects) + 1))
    numbers[window][mask] = len(objects)
    paint_object(rng, image[window], mask, kind, angle, middle - (left, top))
    free[window] &= cv2.dilate(keep_out, np.ones((2 * GAP + 1, 2 * GAP + 1), np.uint8)) == 0


def scene(seed, height=512, width=512):
    """(image uint8 [height, width, 3], numbers int32 [height, width], objects) of the scene of this seed."""
    rng = np.random.default_rng(seed)
    grass = np.array(GRASS[rng.integers(len(GRASS))], np.float32) + rng.normal(0, 4, 3)
    shade = noise(rng, height, width, 96) * 5 + noise(rng, height, width, 24) * 2.5 + noise(rng, height, width, 4) * 2
    image = grass + shade[..., None] * np.array([1.0, 0.9, 0.8], np.float32)
    image = image.astype(np.float32)
    numbers, objects = np.zeros((height, width), np.int32), []
    add_roads(rng, image, numbers, objects)
    free = cv2.dilate((numbers > 0).astype(np.uint8), np.ones((2 * GAP + 1, 2 * GAP + 1), np.uint8)) == 0
    turn = rng.uniform(0, np.pi)
    plan = []
    for kind, density in DENSITY.items():
        plan += [kind] * rng.poisson(density * height * width / 512**2)
    order = {"field": 0, "wood": 1, "pond": 2, "building": 3}
    for kind in sorted(plan, key=lambda kind: order[kind] + rng.uniform(0, 1.5)):
        add_object(rng, image, numbers, free, objects, kind, turn)
    image = cv2.GaussianBlur(image, (0, 0), rng.uniform(0.5, 0.9))
    image += rng.normal(0, rng.uniform(1.5, 4), image.shape)
    image *= rng.uniform(0.9, 1.1)
    return np.clip(image, 0, 255).astype(np.uint8), numbers, objects
