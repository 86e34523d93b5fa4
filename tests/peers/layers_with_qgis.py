"""Layers and exports in QGIS: opened, reloaded while the service saves, compared attribute by attribute, drawn.

A board with the demo card saves objects over mosquitto; QGIS opens the layer's own file, and what `export` makes of it. See qgis.sh.
"""

import json
import math
import os
import pathlib
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import zlib

from osgeo import gdal
from qgis.core import (
    Qgis,
    QgsApplication,
    QgsCoordinateReferenceSystem,
    QgsCoordinateTransform,
    QgsCoordinateTransformContext,
    QgsFeature,
    QgsFeatureSource,
    QgsGeometry,
    QgsMapRendererParallelJob,
    QgsMapSettings,
    QgsPointXY,
    QgsProject,
    QgsRasterLayer,
    QgsRectangle,
    QgsReferencedRectangle,
    QgsVectorFileWriter,
    QgsVectorLayer,
)
from qgis.PyQt.QtCore import QDateTime, QSize, Qt
from qgis.PyQt.QtGui import QColor

ROOT = pathlib.Path(__file__).resolve().parents[2]
DEMO = ROOT / "models/demo"
COMMAND = sys.argv[1]
PICTURE = sys.argv[2] if len(sys.argv) > 2 else None
# As src/layers/export/colour.rs has them.
COLOURS = [(255, 214, 0), (0, 229, 255), (255, 64, 129), (118, 255, 3), (255, 145, 0), (170, 120, 255), (255, 82, 82), (255, 255, 255)]
VIEW = QgsRectangle(512_300, 5_277_320, 512_900, 5_277_700)
KINDS = {"pond": "ponds", "building": "roofs", "field": "meadows"}


class Board:
    """The service beside a broker, asked with mosquitto's own client."""

    def __init__(self, folder):
        self.state = folder / "state"
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        user = "user root\n" if os.getuid() == 0 else ""
        (folder / "mosquitto.conf").write_text(f"{user}listener {self.port} 127.0.0.1\nallow_anonymous true\n")
        mosquitto = shutil.which("mosquitto") or "/usr/sbin/mosquitto"
        log = (folder / "log").open("wb")
        self.broker = subprocess.Popen([mosquitto, "-c", folder / "mosquitto.conf"], stdout=log, stderr=log)
        serve = [COMMAND, "serve", "--device", "b1", "--features", DEMO / "features", "--models", DEMO / "models", "--state", self.state,
                 "--broker", f"mqtt://127.0.0.1:{self.port}"]
        self.service = subprocess.Popen(serve, stdout=log, stderr=log)
        for _ in range(300):
            state = self.run("mosquitto_sub", "-t", "geosam/b1/folder/features", "-C", "1", "-W", "1")
            if '"ready":true' in state.replace(" ", ""):
                return
            time.sleep(0.1)
        raise SystemExit((folder / "log").read_text())

    def run(self, tool, *words):
        return subprocess.run([tool, "-p", str(self.port), *words], capture_output=True, text=True, check=False).stdout

    def ask(self, verb, **request):
        return self.send(verb, request | {"id": f"{verb}-{time.time_ns()}"})

    def send(self, verb, request):
        text = self.run("mosquitto_rr", "-V", "mqttv5", "-q", "1", "-W", "60", "-t", f"geosam/b1/request/me/{verb}",
                        "-e", f"geosam/b1/response/me/{verb}", "-m", json.dumps(request))
        answer = json.loads(text)
        assert answer["status"] == "ok", answer
        return answer

    def end(self):
        for process in (self.service, self.broker):
            process.terminate()
            process.wait(20)


def inside(kind):
    features = json.loads((DEMO / "truth.geojson").read_text())["features"]
    return [f["properties"]["inside"] for f in features if f["properties"]["kind"] == kind]


def save(board, layer, points, **more):
    prompts = [{"points": [point], "properties": {"name": f"Weiher <{n}> & 池塘", **more}} for n, point in enumerate(points)]
    results = board.ask("save", layer=layer, prompts=prompts, output={"vectorization": "simplified"})["results"]
    return [result["saved"]["id"] for result in results]


def open_layer(source, name="layer"):
    layer = QgsVectorLayer(str(source), name, "ogr")
    assert layer.isValid(), (source, layer.error().summary())
    assert layer.crs().authid() in ("EPSG:4326", "OGC:CRS84"), layer.crs().authid()
    return layer


def by_id(layer):
    return {feature["id"]: feature for feature in layer.getFeatures()}


def vertices(geometry):
    """Sorted corners, which no format may change; closing corners, and the order of parts and rings, may differ."""
    return sorted((round(v.x(), 7), round(v.y(), 7)) for v in geometry.vertices())


def flat(coordinates):
    if isinstance(coordinates[0], (int, float)):
        return [tuple(coordinates)]
    return [position for part in coordinates for position in flat(part)]


def is_value(seen, wanted):
    if isinstance(wanted, (dict, list)):
        return (json.loads(seen) if isinstance(seen, str) else seen) == wanted
    if isinstance(wanted, bool):
        return seen in (wanted, str(wanted).lower(), int(wanted))
    if isinstance(wanted, (int, float)):
        return math.isclose(float(seen), wanted, rel_tol=1e-12)
    if isinstance(seen, QDateTime):
        # GDAL before 3.7 keeps seconds as a float32: a millisecond may be missing.
        return abs(seen.toMSecsSinceEpoch() - QDateTime.fromString(wanted, Qt.ISODateWithMs).toMSecsSinceEpoch()) <= 4
    return seen == wanted


def check(layer, lines, told, exact=True):
    """Every object of the layer's file with every property."""
    seen = by_id(layer)
    assert seen.keys() == {line["id"] for line in lines}, (told, len(seen))
    names = layer.fields().names()
    for line in lines:
        feature = seen[line["id"]]
        assert vertices(feature.geometry()) == sorted((round(x, 7), round(y, 7)) for x, y in flat(line["geometry"]["coordinates"])), told
        assert feature.geometry().isGeosValid(), (told, feature.geometry().lastError())
        for key, wanted in line["properties"].items():
            if wanted is None or not exact and key not in names:
                continue
            assert is_value(feature[key], wanted), (told, key, feature[key], wanted)
    types = {field.name(): field.typeName() for field in layer.fields()}
    print(f"{told}: {len(seen)} objects, {layer.crs().authid()}, score {types.get('score')}, pixels {types.get('pixels')}, "
          f"touches_chip_edge {types.get('touches_chip_edge')}, saved_at {types.get('saved_at')}")


def read_lines(path):
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def export(state, *words):
    done = subprocess.run([COMMAND, "export", "--state", state, *words], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def colour_of(layer):
    symbol = layer.renderer().symbol().symbolLayer(0)
    fill, line = symbol.color(), symbol.strokeColor()
    return (fill.red(), fill.green(), fill.blue(), fill.alpha()), (line.red(), line.green(), line.blue(), line.alpha())


def live(board):
    """The layer's own file, while the service changes it."""
    path = board.state / "layers/ponds.geojsonl"
    ponds = inside("pond")
    save(board, "ponds", ponds[:1])
    plain, named = open_layer(path), open_layer(f"GeoJSONSeq:{path}")
    assert plain.featureCount() == named.featureCount() == 1
    save(board, "ponds", ponds[1:6])
    for layer in (plain, named):
        before = layer.featureCount()
        layer.reload()
        print(f"live, 1 object and 5 more: {before} before reloading, {layer.featureCount()} after, drawn {len(by_id(layer))}")
        assert len(by_id(layer)) == 6 and layer.isValid()
    ids = save(board, "ponds", ponds[6:])
    board.ask("delete", layer="ponds", ids=ids[-1:])
    board.ask("update", layer="ponds", ids=ids[:1], properties={"checked": True})
    for layer in (plain, named):
        layer.reload()
        assert by_id(layer).keys() == {line["id"] for line in read_lines(path)}
        # A property that nobody had when the layer was opened.
        print(f"live, changed, one taken out: {len(by_id(layer))}; the new property {'is' if 'checked' in layer.fields().names() else 'is not'} a field")
    check(open_layer(path), read_lines(path), "geojsonl, opened again")
    board.ask("delete", layer="gone", ids=save(board, "gone", ponds[:1]))
    empty = path.with_name("gone.geojsonl")
    assert empty.read_bytes() == b"" and not QgsVectorLayer(str(empty), "gone", "ogr").isValid()
    print("live: a layer whose objects have all been taken back is empty, and is not opened")


def drawn(board, folder):
    """The other way round: what is drawn in QGIS, and saved as GeoJSON, is a prompt."""
    lon, lat = inside("pond")[3]
    to_raster = QgsCoordinateTransform(QgsCoordinateReferenceSystem("EPSG:4326"), QgsCoordinateReferenceSystem("EPSG:32632"), QgsProject.instance())
    wanted = board.ask("segment", points=[[lon, lat]])["result"]
    for code in (4326, 32632):
        clicked = QgsVectorLayer(f"Point?crs=EPSG:{code}&field=label:integer", "clicked", "memory")
        feature = QgsFeature(clicked.fields())
        position = QgsPointXY(lon, lat) if code == 4326 else to_raster.transform(lon, lat)
        feature.setGeometry(QgsGeometry.fromPointXY(position))
        feature["label"] = 1
        clicked.dataProvider().addFeature(feature)
        options = QgsVectorFileWriter.SaveVectorOptions()
        options.driverName = "GeoJSON"
        out = folder / f"clicked-{code}.geojson"
        done = QgsVectorFileWriter.writeAsVectorFormatV3(clicked, str(out), QgsCoordinateTransformContext(), options)
        assert done[0] == QgsVectorFileWriter.NoError, done
        request = json.loads(out.read_text())
        answer = board.send("segment", request | {"geosam": {"id": f"clicked-{code}"}})
        assert answer["result"] == wanted
        print(f"a prompt drawn in QGIS, in EPSG:{code}: {len(answer['result']['features'])} polygon, as with its coordinates")


def exports(board, folder):
    layers = {name: board.state / f"layers/{name}.geojsonl" for name in KINDS.values()}
    card = folder / "card.gpkg"
    export(board.state, *layers, "--output", card)
    for name, path in layers.items():
        layer = open_layer(f"{card}|layername={name}", name)
        check(layer, read_lines(path), f"gpkg {name}")
        red, green, blue = COLOURS[zlib.crc32(name.encode()) % len(COLOURS)]
        assert colour_of(layer) == ((red, green, blue, 77), (red, green, blue, 255)), colour_of(layer)
        assert layer.hasSpatialIndex() == QgsFeatureSource.SpatialIndexPresent, layer.hasSpatialIndex()
        # The number of those of this table; the lists go on with others.
        own, _, names, *_ = layer.listStylesInDatabase()
        assert own == 1 and names[0] == "default", (own, names)
    print("gpkg: the style is loaded by itself, the spatial index is known")
    for ending in ["fgb", "geojson", "geojsonl", "kml", "kmz"]:
        out = folder / f"ponds.{ending}"
        export(board.state, "ponds", "--output", out)
        layer = open_layer(out)
        lines = read_lines(layers["ponds"])
        check(layer, lines, ending)
    return card


def edit(card):
    """QGIS itself changes what we wrote."""
    layer = open_layer(f"{card}|layername=ponds", "ponds")
    feature = next(layer.getFeatures())
    assert layer.startEditing()
    assert layer.changeAttributeValue(feature.id(), layer.fields().indexOf("name"), "changed in QGIS")
    assert layer.commitChanges(), layer.commitErrors()
    assert next(layer.getFeatures())["name"] == "changed in QGIS"
    print("gpkg: edited in QGIS")


def draw(card):
    """The exports over the raster, in the raster's CRS; the layers' colours are where their objects are."""
    # A copy: QGIS leaves statistics beside it.
    raster = QgsRasterLayer(shutil.copy(DEMO / "scene.tif", card.parent), "scene")
    layers = [open_layer(f"{card}|layername={name}", name) for name in KINDS.values()]
    settings = QgsMapSettings()
    settings.setLayers([*layers, raster])
    settings.setDestinationCrs(raster.crs())
    settings.setExtent(VIEW)
    settings.setOutputSize(QSize(720, 480))
    settings.setBackgroundColor(QColor(255, 255, 255))
    settings.setOutputDpi(96)
    job = QgsMapRendererParallelJob(settings)
    job.start()
    job.waitForFinished()
    assert not job.errors(), [(e.layerID, e.message) for e in job.errors()]
    image = job.renderedImage()
    for layer in layers:
        red, green, blue = COLOURS[zlib.crc32(layer.name().encode()) % len(COLOURS)]
        pixels = sum(
            (colour.red(), colour.green(), colour.blue()) == (red, green, blue)
            for colour in (image.pixelColor(x, y) for x in range(image.width()) for y in range(image.height()))
        )
        assert pixels > 100, (layer.name(), pixels)
        print(f"drawn: {layer.name()}, {pixels} pixels of its outline's colour")
    return [*layers, raster]


def desktop(layers, folder):
    """QGIS itself, with its window: a project of these layers opens without a message; its window as a picture."""
    project = QgsProject.instance()
    project.setCrs(layers[-1].crs())
    project.addMapLayers(layers)
    project.viewSettings().setDefaultViewExtent(QgsReferencedRectangle(VIEW, project.crs()))
    path = folder / "card.qgs"
    assert project.write(str(path))
    messages = open_in_desktop(path, folder, PICTURE)
    assert messages == {"layers": sorted(layer.name() for layer in layers), "log": [], "bar": []}, messages
    print("QGIS itself: the project opens without a message" + (f", {PICTURE}" if PICTURE else ""))


def open_in_desktop(path, folder, picture):
    """Opens a project in QGIS, on a display of its own; returns its layers and what it had to say."""
    (folder / "look.py").write_text(f"""
import json, os
from qgis.core import QgsApplication, QgsProject
from qgis.PyQt.QtCore import QTimer
from qgis.PyQt.QtWidgets import QDockWidget
from qgis.utils import iface
log = []
QgsApplication.messageLog().messageReceived.connect(lambda text, tag, level: log.append([tag, int(level), text]))
def ready():
    for dock in iface.mainWindow().findChildren(QDockWidget):
        dock.setVisible(dock.objectName() == "Layers")
    iface.mapCanvas().setReferencedExtent(QgsProject.instance().viewSettings().defaultViewExtent())
    iface.mapCanvas().refresh()
    QTimer.singleShot(2000, look)
def look():
    picture = {picture!r}
    if picture:
        iface.mainWindow().grab().save(picture)
    told = {{"layers": sorted(layer.name() for layer in QgsProject.instance().mapLayers().values()), "log": log,
            "bar": [getattr(item, "text", str)() for item in iface.messageBar().items()]}}
    with open({str(folder / "told.json")!r}, "w") as out:
        json.dump(told, out)
    os._exit(0)
QTimer.singleShot(5000, ready)
""")
    display = f":{os.getpid() % 30000 + 1000}"
    screen = subprocess.Popen(["Xvfb", display, "-screen", "0", "1000x640x24"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        environment = os.environ | {"DISPLAY": display, "QT_QPA_PLATFORM": "xcb", "XDG_RUNTIME_DIR": str(folder)}
        words = ["--nologo", "--noplugins", "--noversioncheck", "--profiles-path", folder / "profile", "--code", folder / "look.py"]
        done = subprocess.run(["qgis", *words, path], env=environment, capture_output=True, text=True, timeout=120, check=False)
        assert (folder / "told.json").is_file(), done.stderr
        return json.loads((folder / "told.json").read_text())
    finally:
        screen.terminate()
        screen.wait()


def project_of_export(board, folder):
    """The project that `export` writes: every layer is there, in its place and colour, and QGIS has nothing to say."""
    package, path = folder / "moved/card.gpkg", folder / "moved/card.qgs"
    package.parent.mkdir()
    # A card of its own, which is moved as a whole: paths hold.
    card = shutil.copytree(DEMO, folder / "moved/demo", ignore=shutil.ignore_patterns("models", "*.py"))
    export(board.state, *KINDS.values(), "--output", package, "--qgis-project", path, "--folder", card / "features")
    path = (folder / "moved").rename(folder / "card") / "card.qgs"
    project = QgsProject()
    assert project.read(str(path)), project.error()
    order = [node.layer() for node in project.layerTreeRoot().findLayers()]
    assert [layer.name() for layer in order] == [*KINDS.values(), "chips", "raster"]
    assert all(layer.isValid() for layer in order) and project.crs().authid() == "EPSG:32632"
    assert [layer.crs().authid() for layer in order] == ["EPSG:4326"] * 3 + ["EPSG:32632"] * 2
    for layer in order[:3]:
        red, green, blue = COLOURS[zlib.crc32(layer.name().encode()) % len(COLOURS)]
        assert colour_of(layer) == ((red, green, blue, 77), (red, green, blue, 255)), colour_of(layer)
    chips, raster = order[3:]
    assert chips.featureCount() == 6 and raster.extent() == chips.extent(), (chips.extent().toString(), raster.extent().toString())
    view = project.viewSettings().defaultViewExtent()
    assert QgsRectangle(view) == raster.extent(), view.toString()
    if shutil.which("qgis") and shutil.which("Xvfb"):
        messages = open_in_desktop(path, folder, None)
        assert messages == {"layers": sorted(layer.name() for layer in order), "log": [], "bar": []}, messages
    print(f"the project of export: {len(order)} layers, in QGIS itself without a message, also after the card has been moved")


def main():
    application = QgsApplication([], False)
    application.initQgis()
    complaints = []
    application.messageLog().messageReceived.connect(lambda text, tag, level: complaints.append((tag, level, text)))
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        board = Board(folder)
        try:
            live(board)
            drawn(board, folder)
            for kind, layer in KINDS.items():
                if kind != "pond":
                    save(board, layer, inside(kind), crop="barley" if kind == "field" else None)
            card = exports(board, folder)
            edit(card)
            project_of_export(board, folder)
            layers = draw(card)
            if shutil.which("qgis") and shutil.which("Xvfb"):
                desktop(layers, folder)
            else:
                print("QGIS itself is not here: its window was not tried")
        finally:
            board.end()
    # Of the empty layer, which is not opened.
    assert all("gone.geojsonl" in text for _, _, text in complaints), complaints
    print(f"1 passed, 0 failed (QGIS {Qgis.QGIS_VERSION}, GDAL {gdal.__version__})")
    application.exitQgis()


main()
