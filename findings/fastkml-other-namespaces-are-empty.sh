#!/usr/bin/env bash
# A good engineer would guess: a reader of KML reads files of the older namespaces too (Google's 2.1 and 2.2, which GIS exports still
# have), or raises an error that names the namespace.
#
# fastkml 1.4.0 returns a KML without a single feature, and says nothing. Only http://www.opengis.net/kml/2.2 is read.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv" && "$work/venv/bin/pip" install -q --disable-pip-version-check fastkml==1.4.0 lxml==6.1.3
"$work/venv/bin/python" -W error - <<'EOF_PROBE'
import logging
from fastkml import KML, Placemark
from fastkml.utils import find_all

logged = []
logging.getLogger().addHandler(type("Kept", (logging.Handler,), {"emit": lambda self, record: logged.append(record.getMessage())})())
namespaces = ("http://www.opengis.net/kml/2.2", "http://earth.google.com/kml/2.2", "http://earth.google.com/kml/2.1")
seen = {}
for namespace in namespaces:
    file = f'<kml xmlns="{namespace}"><Document><Placemark><Point><coordinates>9,47</coordinates></Point></Placemark></Document></kml>'
    seen[namespace] = len(list(find_all(KML.from_string(file), of_type=Placemark)))
print("fastkml 1.4.0, Placemarks read by namespace:", seen, "logged:", logged)
assert list(seen.values()) == [1, 0, 0] and not logged
EOF_PROBE
