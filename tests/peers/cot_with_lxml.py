#!/usr/bin/env python3
"""Cursor on Target of `geosam-edge export`, read with lxml by the rules of ATAK's importers and of the servers that were
tried (docs/ground-stations.md). Needs lxml and shapely 2 (PyPI). Usage: cot_with_lxml.py PATH_TO_GEOSAM_EDGE
"""

import datetime
import pathlib
import random
import re
import sys
import tempfile

import shapely
from layers import export, parts, ring, sample, write
from lxml import etree

COMMAND = sys.argv[1]
TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z")


def time(text):
    assert TIME.fullmatch(text), text
    return datetime.datetime.fromisoformat(text.replace("Z", "+00:00"))


def check(event, name, rings):
    """An event as ATAK's DrawingShapeImporter takes it."""
    assert event.tag == "event"
    assert list(event.attrib) == ["version", "uid", "type", "how", "time", "start", "stale"], list(event.attrib)
    assert (event.get("version"), event.get("type"), event.get("how")) == ("2.0", "u-d-f", "m-g")
    assert event.get("uid") == name
    now = datetime.datetime.now(datetime.timezone.utc)
    assert abs((time(event.get("time")) - now).total_seconds()) < 3600 and event.get("time") == event.get("start")
    assert time(event.get("stale")) - now > datetime.timedelta(days=1)
    assert [child.tag for child in event] == ["point", "detail"]
    point, detail = event
    assert set(point.attrib) == {"lat", "lon", "hae", "ce", "le"} and float(point.get("ce")) == 9999999
    at = shapely.Point(float(point.get("lon")), float(point.get("lat")))
    assert shapely.Polygon(rings[0], rings[1:]).contains(at), at
    links = detail.findall("link")
    vertices = [tuple(map(float, link.get("point").split(","))) for link in links]
    assert links[0].get("point") == links[-1].get("point"), "closed exactly"
    assert vertices == [(lat, lon) for lon, lat in rings[0]], "every vertex as it was saved"
    assert detail.find("contact").get("callsign") == name
    for colour in ["strokeColor", "fillColor"]:
        assert -2**31 <= int(detail.find(colour).get("value")) < 2**31
    # ATAK: the alpha of an outline that can be seen, and of a filling through which the map can be.
    assert (int(detail.find("strokeColor").get("value")) & 0xFFFFFFFF) >> 24 != 0
    assert float(detail.find("strokeWeight").get("value")) > 0
    assert detail.find("archive") is not None and detail.find("remarks").text.startswith("layer ")


def main():
    random.seed(13)
    with tempfile.TemporaryDirectory() as folder:
        state = pathlib.Path(folder)
        features = [sample(n) for n in range(200)]
        features[3]["id"] = "Weiher <ü> 池"
        write(state, "ponds", features)
        out = state / "ponds.cot"
        told = export(COMMAND, state, "ponds", "--output", out)
        assert "have holes" in told, told
        text = out.read_bytes()
        assert text.isascii()
        root = etree.fromstring(text)
        expected = list(parts(features))
        assert root.tag == "events" and len(root) == len(expected)
        for event, (name, rings) in zip(root, expected):
            check(event, name, rings)
        assert len({event.get("uid") for event in root}) == len(root)
        large = sample(1) | {"geometry": {"type": "Polygon", "coordinates": [ring(9, 47, 0.1, 2000, False)]}}
        write(state, "large", [large])
        assert "60,000 bytes" in export(COMMAND, state, "large", "--output", state / "large.cot")
        write(state, "empty", [])
        export(COMMAND, state, "empty", "--output", state / "empty.cot", refused="it is empty")
        print(f"1 passed, 0 failed ({len(root)} events of {len(features)} objects)")


main()
