#!/usr/bin/env bash
# A good engineer would guess: a library that writes KML escapes all text that it is given.
#
# simplekml 1.3.6: a Placemark's name and description, and the name and displayName of its data, are escaped; the values of data and of
# simple data, and addresses, are not. A value "1 < 2" makes a file that no XML parser reads.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv" && "$work/venv/bin/pip" install -q --disable-pip-version-check simplekml==1.3.6
cd "$work"
venv/bin/python - <<'EOF'
import xml.etree.ElementTree as ElementTree
import simplekml


def is_xml(change):
    kml = simplekml.Kml()
    change(kml.newpoint(name="pond", coords=[(9, 47)]))
    try:
        ElementTree.fromstring(kml.kml(format=False))
        return True
    except ElementTree.ParseError:
        return False


text = "1 < 2 & 3"
seen = {
    "name": is_xml(lambda point: setattr(point, "name", text)),
    "description": is_xml(lambda point: setattr(point, "description", text)),
    "name of data": is_xml(lambda point: point.extendeddata.newdata(name=text, value="1")),
    "displayName of data": is_xml(lambda point: point.extendeddata.newdata(name="n", value="1", displayname=text)),
    "value of data": is_xml(lambda point: point.extendeddata.newdata(name="n", value=text)),
    "value of simple data": is_xml(lambda point: point.extendeddata.schemadata.newsimpledata("n", text)),
    "address": is_xml(lambda point: setattr(point, "address", text)),
}
print("simplekml 1.3.6, whether the file is XML where the text stands as:", seen)
assert list(seen.values()) == [True] * 4 + [False] * 3
EOF
