#!/usr/bin/env python3
"""GeoPackages of `geosam-edge export`, checked with GDAL, SQLite and the checker of OGC's rules that GDAL carries.

Needs pyogrio, shapely 2 and gdal-utils (PyPI; `pip install --no-deps gdal-utils`, its checker needs SQLite alone).
Usage: geopackages_with_gdal.py PATH_TO_GEOSAM_EDGE
"""

import pathlib
import random
import sqlite3
import sys
import tempfile
import warnings

import numpy as np
import pyogrio
import shapely
from layers import export, sample, write
from osgeo_utils.samples import validate_gpkg

COMMAND = sys.argv[1]


def check(path):
    """OGC's rules, every one of them; then what SQLite itself says."""
    checker = validate_gpkg.GPKGChecker(str(path), abort_at_first_error=False, extra_checks=True, warning_msg=False)
    checker.check()
    assert not checker.errors and not checker.warnings, (checker.errors, checker.warnings)
    with sqlite3.connect(path) as database:
        assert database.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        assert database.execute("PRAGMA foreign_key_check").fetchall() == []
    assert not list(path.parent.glob(path.name + "-*")), "a journal was left"


def read(path, layer):
    with warnings.catch_warnings():
        # What GDAL warns of is a fault.
        warnings.simplefilter("error")
        meta, _, geometry, columns = pyogrio.raw.read(path, layer=layer)
    fields = dict(zip(meta["fields"], columns))
    return meta, dict(zip(fields["id"], shapely.from_wkb(geometry)))


def check_index(path, layer, expected):
    """The index finds what shapely finds, in boxes anywhere."""
    tree = shapely.STRtree(list(expected.values()))
    names = list(expected)
    query = f"""SELECT t.id FROM "{layer}" t JOIN "rtree_{layer}_geom" r ON t.fid = r.id
        WHERE r.minx <= ? AND r.maxx >= ? AND r.miny <= ? AND r.maxy >= ?"""
    hits = 0
    with sqlite3.connect(path) as database:
        for _ in range(200):
            x, y, size = random.uniform(-180, 170), random.uniform(-85, 80), random.uniform(0, 12)
            box = shapely.box(x, y, x + size, y + size)
            found = {row[0] for row in database.execute(query, (x + size, x, y + size, y))}
            wanted = {names[n] for n in tree.query(box)}
            # Bounds of the index are of single precision, rounded outward.
            assert wanted <= found, (wanted - found)
            near = shapely.box(x - 1e-4, y - 1e-4, x + size + 1e-4, y + size + 1e-4)
            assert found <= {names[n] for n in tree.query(near)}
            hits += len(found)
    return hits


def main():
    random.seed(7)
    with tempfile.TemporaryDirectory() as folder:
        state = pathlib.Path(folder)
        layers = {name: [sample(n) for n in range(count)] for name, count in [("ponds", 400), ("fields-2.a", 60)]}
        for name, features in layers.items():
            write(state, name, features)
        mixed = sample(1) | {"geometry": {"type": "Point", "coordinates": [9, 47, 400]}}
        nowhere = sample(2) | {"geometry": None}
        write(state, "marks", [mixed, nowhere, sample(5)])
        out = state / "out.gpkg"

        export(COMMAND, state, *layers, "--output", out)
        check(out)
        listed = {row[0] for row in pyogrio.list_layers(out) if row[1] is not None}
        assert listed == set(layers), listed
        for name, features in layers.items():
            meta, shapes = read(out, name)
            assert (meta["geometry_type"], meta["crs"]) == ("MultiPolygon", "EPSG:4326"), meta
            expected = {f["id"]: shapely.geometry.shape(f["geometry"]) for f in features}
            assert shapes.keys() == expected.keys()
            for key, shape in shapes.items():
                wanted = expected[key]
                wanted = shapely.multipolygons([wanted] if wanted.geom_type == "Polygon" else list(wanted.geoms))
                assert shape.equals_exact(wanted, 0), key
            hits = check_index(out, name, expected)
            info = pyogrio.read_info(out, layer=name, force_total_bounds=True)
            assert info["capabilities"]["fast_spatial_filter"] and info["capabilities"]["fast_total_bounds"]
            print(f"{name}: {len(shapes)} objects, {hits} found by the index in 200 boxes")

        # Others are added, one is replaced, what is not ours stays.
        export(COMMAND, state, "marks", "--append", "--output", out)
        write(state, "ponds", layers["ponds"][:10])
        export(COMMAND, state, "ponds", "--append", "--output", out)
        check(out)
        assert {row[0] for row in pyogrio.list_layers(out)} >= {"ponds", "fields-2.a", "marks"}
        assert len(read(out, "ponds")[1]) == 10 and len(read(out, "fields-2.a")[1]) == 60
        meta, shapes = read(out, "marks")
        assert [None if s is None else s.geom_type for s in shapes.values()] == ["Point", None, "MultiPolygon"], shapes
        print("added to, and a layer replaced: 3 layers")

        # A file that GDAL has made, of each version that it writes.
        for version in ["1.0", "1.1", "1.2", "1.3", "1.4"]:
            theirs = state / f"theirs-{version}.gpkg"
            square = shapely.to_wkb([shapely.box(0, 0, 1, 1)])
            pyogrio.raw.write(theirs, geometry=square, field_data=[], fields=[], layer="squares", driver="GPKG",
                              geometry_type="Polygon", crs="EPSG:3857", dataset_options={"VERSION": version})
            export(COMMAND, state, "ponds", "--append", "--output", theirs)
            export(COMMAND, state, "ponds", "--append", "--output", theirs)
            check(theirs)
            assert len(read(theirs, "ponds")[1]) == 10
            assert len(pyogrio.raw.read(theirs, layer="squares")[2]) == 1
            # And theirs again after ours, with the index that our triggers keep.
            pyogrio.raw.write(theirs, geometry=shapely.to_wkb([shapely.multipolygons([shapely.box(50, 50, 51, 51)])]),
                              field_data=[np.array(["new"], object)], fields=["id"], layer="ponds", driver="GPKG", append=True,
                              geometry_type="MultiPolygon", crs="EPSG:4326")
            check(theirs)
            assert len(pyogrio.raw.read(theirs, layer="ponds", bbox=(50.4, 50.4, 50.6, 50.6))[2]) >= 1
        print("added to GDAL's own files of versions 1.0 to 1.4, and GDAL to ours")

        # Open elsewhere: read, written to, in the middle of a write.
        other = sqlite3.connect(out, isolation_level=None)
        other.execute("PRAGMA journal_mode = WAL")
        other.execute("BEGIN")
        other.execute("SELECT count(*) FROM ponds").fetchall()
        export(COMMAND, state, "ponds", "--output", out, refused="another program has it open")
        export(COMMAND, state, "ponds", "--append", "--output", out)
        other.execute("COMMIT")
        other.execute("BEGIN IMMEDIATE")
        export(COMMAND, state, "ponds", "--append", "--output", out, refused="another program is writing to it")
        other.execute("ROLLBACK")
        other.execute("PRAGMA journal_mode = DELETE")
        other.close()
        check(out)
        assert len(read(out, "ponds")[1]) == 10
        print("added to while another has it open, refused while another writes")

        write(state, "empty", [])
        before = out.read_bytes()
        export(COMMAND, state, "empty", "--output", out, refused="it is empty")
        assert out.read_bytes() == before
        told = export(COMMAND, state, "ponds", "empty", "--append", "--output", out)
        assert "layer empty is left out" in told, told
        check(out)

        # Rows keep their numbers, which GDAL calls fids; no other object gets one that was given.
        def fids(features):
            write(state, "ponds", features)
            export(COMMAND, state, "ponds", "--append", "--output", out)
            check(out)
            fid, columns = pyogrio.raw.read(out, layer="ponds", return_fids=True)[1:4:2]
            return {identity: number for identity, number in zip(columns[0], fid)}

        objects = [sample(number) for number in range(12)]
        first = fids(objects)
        later = fids(objects[3:8])
        assert later == {identity: first[identity] for identity in later} and len(later) == 5, (first, later)
        last = fids(objects)
        assert all(last[identity] == later.get(identity, last[identity]) for identity in last)
        assert not {last[identity] for identity in last if identity not in later} & set(first.values())
        print("numbers of rows outlive", len(first), "objects that came, went and came again")
    print(f"1 passed, 0 failed (GDAL {pyogrio.__gdal_version__}, SQLite {sqlite3.sqlite_version})")


main()
