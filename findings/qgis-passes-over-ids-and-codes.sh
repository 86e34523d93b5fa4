#!/usr/bin/env bash
# A good engineer would guess: in a QGIS project the id of a layer is a text that ties the layer tree to its definition, whichever, and
# `<authid>EPSG:4326</authid>` says what the CRS is.
#
# QGIS 3.22.16 (Debian 12) takes an id only if it has more than ten characters: a shorter one is replaced, the tree's entry has no layer,
# and nothing is shown. The authid counts only beside an `srsid` above 0, whichever, and the project's CRS only where `ProjectionsEnabled`
# is 1: else there is none. It says nothing of either.
# Needs: apt-get install --no-install-recommends python3-qgis qgis-providers
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cat >"$work/one.geojson" <<'EOF'
{"type": "FeatureCollection", "features": [{"type": "Feature", "properties": {},
 "geometry": {"type": "Polygon", "coordinates": [[[9, 47], [9.1, 47], [9.1, 47.1], [9, 47]]]}}]}
EOF
cd "$work"
QT_QPA_PLATFORM=offscreen XDG_RUNTIME_DIR=$work /usr/bin/python3 - <<'EOF'
from qgis.core import Qgis, QgsApplication, QgsProject

application = QgsApplication([], False)
application.initQgis()
told = []
application.messageLog().messageReceived.connect(lambda text, tag, level: told.append(text))

def read(identity, crs, enabled=1):
    crs = f"<spatialrefsys>{crs}</spatialrefsys>"
    with open("p.qgs", "w") as out:
        out.write(f"""<!DOCTYPE qgis PUBLIC 'http://mrcc.com/qgis.dtd' 'SYSTEM'>
<qgis version="3.22.0" projectname="p"><projectCrs>{crs}</projectCrs>
<layer-tree-group><layer-tree-layer id="{identity}" name="one" checked="Qt::Checked"/></layer-tree-group>
<projectlayers><maplayer type="vector" geometry="Polygon"><id>{identity}</id><datasource>./one.geojson</datasource>
<layername>one</layername><provider>ogr</provider></maplayer></projectlayers>
<properties><SpatialRefSys><ProjectionsEnabled type="int">{enabled}</ProjectionsEnabled></SpatialRefSys></properties></qgis>""")
    project = QgsProject()
    assert project.read("p.qgs")
    shown = [node.layer() is not None for node in project.layerTreeRoot().findLayers()]
    seen = (list(project.mapLayers()) == [identity], shown, project.crs().authid())
    print(f"id {identity!r}, {crs}, ProjectionsEnabled {enabled}: id kept {seen[0]}, tree has its layer {seen[1]}, CRS {seen[2]!r}")
    return seen

good = "<srsid>1</srsid><authid>EPSG:25832</authid>"
seen = [read("eleven_char", good), read("ten_charac", good), read("eleven_char", "<authid>EPSG:25832</authid>"),
        read("eleven_char", good, 0)]
print(f"QGIS {Qgis.QGIS_VERSION} had to say: {told}")
assert seen[0] == (True, [True], "EPSG:25832") and not told, "the case that is as it should be"
assert seen[1][0] is False and seen[2][2] == seen[3][2] == "", "this has changed"
EOF
