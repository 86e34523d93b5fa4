#!/usr/bin/env python3
"""Fences of `geosam-edge export`, loaded by MAVProxy's own modules; plans by the rules of QGroundControl's loader.

MAVProxy's fence module is driven as a library, without a vehicle: what it would upload is compared with the layer. Its
KML reader lists the Placemarks that `kml fence` can be given. Needs MAVProxy 1.8.75, pymavlink 2.4.50 and lxml (PyPI).
Usage: fences_with_mavproxy.py PATH_TO_GEOSAM_EDGE
"""

import json
import os
import pathlib
import random
import sys
import tempfile
import types

os.environ["MAVLINK20"] = "1"

from MAVProxy.modules import mavproxy_fence  # noqa: E402
from MAVProxy.modules.lib import kmlread  # noqa: E402
from layers import export, parts, ring, sample, write  # noqa: E402
from pymavlink import mavutil  # noqa: E402

COMMAND = sys.argv[1]
mavutil.set_dialect("ardupilotmega")


class Fences(mavproxy_fence.FenceModule):
    """The module without a link: what it would send stays in its list."""

    def send_all_waypoints(self):
        pass


def fence_module():
    settings = types.SimpleNamespace(target_system=1, target_component=1)
    status = types.SimpleNamespace(logdir=None)
    state = types.SimpleNamespace(
        public_modules={}, command_map={}, completions={}, completion_functions={}, settings=settings, status=status,
        continue_mode=False, multi_instance={}, instance_count={}, vehicle_type=None, console=None, map=None)
    state.module = state.public_modules.get
    return Fences(state)


def loaded(path):
    module = fence_module()
    module.load_waypoints(str(path))
    positions = lambda polygons: [[(p.x, p.y) for p in polygon] for polygon in polygons]
    return module.count(), positions(module.inclusion_polygons()), positions(module.exclusion_polygons())


def is_same(seen, expected):
    """The same circle of vertices, latitude first."""
    def near(a, b):
        return all(abs(p[0] - q[0]) <= 1e-9 and abs(p[1] - q[1]) <= 1e-9 for p, q in zip(a, b))
    wanted = [(lat, lon) for lon, lat in expected[:-1]]
    turns = [w[k:] + w[:k] for w in (wanted, wanted[::-1]) for k in range(len(w))]
    return len(seen) == len(wanted) and any(near(seen, turn) for turn in turns)


def turn(polygon):
    """Negative where latitudes and longitudes run clockwise on a map."""
    return sum(a[1] * b[0] - b[1] * a[0] for a, b in zip(polygon, polygon[1:] + polygon[:1]))


def check_wpl(state, features):
    expected = list(parts(features))
    for inclusion in ["true", "false"]:
        out = state / f"{inclusion}.wpl"
        told = export(COMMAND, state, "ponds", "--inclusion", inclusion, "--output", out)
        count, inside, outside = loaded(out)
        if inclusion == "true":
            assert "FENCE_OPTIONS" in told, told
            holes = [hole for _, rings in expected for hole in rings[1:]]
            assert len(inside) == len(expected) and len(outside) == len(holes)
            assert all(is_same(seen, hole) for seen, hole in zip(outside, holes))
        else:
            assert "have holes" in told, told
            inside, outside = outside, inside
            assert len(inside) == len(expected) and not outside
        assert all(is_same(seen, rings[0]) for seen, (_, rings) in zip(inside, expected))
        assert count == sum(len(polygon) for polygon in inside + outside)
        print(f"wpl, inclusion {inclusion}: {len(inside)} fences and {len(outside)} holes, {count} items in MAVProxy")


def check_plan(state, features):
    """What QGroundControl's PlanMasterController, GeoFenceController and QGCFencePolygon demand."""
    expected = list(parts(features))
    for inclusion in [True, False]:
        out = state / f"{inclusion}.plan"
        export(COMMAND, state, "ponds", "--inclusion", str(inclusion).lower(), "--output", out)
        plan = json.loads(out.read_text())
        assert plan["fileType"] == "Plan" and plan["version"] == 1 and isinstance(plan["groundStation"], str)
        mission, fence, rally = plan["mission"], plan["geoFence"], plan["rallyPoints"]
        assert mission["version"] == 2 and mission["items"] == [] and isinstance(mission["firmwareType"], int)
        lat, lon, _ = mission["plannedHomePosition"]
        assert -90 <= lat <= 90 and -180 <= lon <= 180
        assert rally == {"version": 2, "points": []}
        assert fence["version"] == 2 and fence["circles"] == []
        outer, holes = [], []
        for polygon in fence["polygons"]:
            assert polygon["version"] == 1 and set(polygon) == {"version", "inclusion", "polygon"}
            vertices = [tuple(vertex) for vertex in polygon["polygon"]]
            assert len(vertices) >= 3 and vertices[0] != vertices[-1] and turn(vertices) < 0
            (outer if polygon["inclusion"] == inclusion else holes).append(vertices)
        assert all(is_same(seen, rings[0]) for seen, (_, rings) in zip(outer, expected))
        assert len(outer) == len(expected)
        wanted = [hole for _, rings in expected for hole in rings[1:]] if inclusion else []
        assert len(holes) == len(wanted) and all(is_same(seen, hole) for seen, hole in zip(holes, wanted))
        print(f"plan, inclusion {inclusion}: {len(outer)} fences and {len(holes)} holes by QGroundControl's rules")


def check_kml(state, features):
    """MAVProxy's reader of KML: a polygon a Placemark, by its name."""
    expected = list(parts(features))
    for suffix in ["kml", "kmz"]:
        out = state / f"ponds.{suffix}"
        export(COMMAND, state, "ponds", "--output", out)
        reader = kmlread.KMLRead(str(out))
        reader.parse()
        seen = [reader.readObject(node) for node in reader.placemark_nodes()]
        assert [polygon.name for polygon in seen] == [name for name, _ in expected]
        assert all(is_same(polygon.vertexes[:-1], rings[0]) for polygon, (_, rings) in zip(seen, expected))
        print(f"{suffix}: {len(seen)} named polygons in MAVProxy's reader, each its outer ring")


def check_poly(state, features):
    """Mission Planner's rules: comments, then a latitude and a longitude a line; not closed."""
    expected = list(parts(features))
    out = state / "polygons"
    export(COMMAND, state, "ponds", "--format", "poly", "--output", out)
    assert len(list(out.iterdir())) == len(expected)
    for number, (_, rings) in enumerate(expected, 1):
        lines = (out / f"ponds-{number}.poly").read_text().splitlines()
        vertices = [tuple(map(float, line.split())) for line in lines if not line.startswith("#")]
        assert lines[0].startswith("#") and vertices[0] != vertices[-1] and is_same(vertices, rings[0])
    print(f"poly: {len(expected)} files by Mission Planner's rules")


def main():
    random.seed(11)
    with tempfile.TemporaryDirectory() as folder:
        state = pathlib.Path(folder)
        features = [sample(n) for n in range(50)]
        write(state, "ponds", features)
        check_wpl(state, features)
        check_plan(state, features)
        check_kml(state, features)
        check_poly(state, features)
        large = sample(1) | {"geometry": {"type": "Polygon", "coordinates": [ring(9, 47, 0.1, 300, False)]}}
        write(state, "large", [large])
        assert "255 vertices" in export(COMMAND, state, "large", "--output", state / "large.wpl")
        write(state, "empty", [])
        for name in ["a.wpl", "a.plan", "a.kml", "a.kmz"]:
            export(COMMAND, state, "empty", "--output", state / name, refused="it is empty")
            assert not (state / name).exists()
    print("1 passed, 0 failed")


main()
