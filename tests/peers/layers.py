"""Layers of saved objects for the scripts beside this one, and the program that exports them."""

import json
import math
import random
import subprocess


def ring(x, y, radius, corners, clockwise):
    turn = -1 if clockwise else 1
    points = [
        [round(x + radius * math.cos(turn * 2 * math.pi * k / corners), 7),
         round(y + radius * math.sin(turn * 2 * math.pi * k / corners), 7)]
        for k in range(corners)
    ]
    return points + points[:1]


def sample(number):
    """A polygon with a hole; every fifth has a second part."""
    x, y = random.uniform(-179, 178), random.uniform(-80, 80)
    polygon = [ring(x, y, 0.5, 12, False), ring(x, y, 0.2, 5, True)]
    if number % 5:
        geometry = {"type": "Polygon", "coordinates": polygon}
    else:
        other = [ring(x + 1.2, y, 0.1, 4, False)]
        geometry = {"type": "MultiPolygon", "coordinates": [polygon, other]}
    properties = {
        "score": random.random() if number % 7 else 1,
        "pixels": random.randrange(10**6),
        "touches_chip_edge": bool(number % 2),
        "operator": random.choice(["7", "<&>\"'", "池塘", "é\tè", None]),
        "prompt": {"points": [[x, y]], "labels": [1]},
        "saved_at": f"2026-11-{random.randrange(1, 30):02}T12:00:{number % 60:02}.{number % 1000:03}Z",
    }
    return {"type": "Feature", "id": f"id-{number}", "geometry": geometry, "properties": properties}


def write(state, layer, features):
    """Writes a layer into a state directory."""
    (state / "layers").mkdir(exist_ok=True)
    path = state / "layers" / f"{layer}.geojsonl"
    path.write_text("".join(json.dumps(f, ensure_ascii=False) + "\n" for f in features), encoding="utf-8")
    return path


def parts(features):
    """The rings of every part, in order, with the name that a part gets."""
    for feature in features:
        geometry = feature["geometry"]
        polygons = geometry["coordinates"] if geometry["type"] == "MultiPolygon" else [geometry["coordinates"]]
        for number, rings in enumerate(polygons, 1):
            yield feature["id"] + (f"-{number}" if len(polygons) > 1 else ""), rings


def export(command, state, *words, refused=None):
    """Runs `export`; returns what it told on standard error, or checks that it refused, saying so."""
    done = subprocess.run([command, "export", "--state", state, *words], capture_output=True, text=True, check=False)
    if refused is None:
        assert done.returncode == 0, done.stderr
    else:
        assert done.returncode != 0 and refused in done.stderr, (done.returncode, done.stderr)
    return done.stderr
