#!/usr/bin/env bash
# What QGIS makes of layers and exports, in Debian's own QGIS without a display: layers_with_qgis.py, which says more.
#
#   apt-get install --no-install-recommends python3-qgis qgis-providers mosquitto mosquitto-clients
#   apt-get install --no-install-recommends qgis xvfb        # for its window too
#   tests/peers/qgis.sh PATH_TO_GEOSAM_EDGE [PICTURE.png]
set -euo pipefail
export QT_QPA_PLATFORM=offscreen PYTHONDONTWRITEBYTECODE=1
# Debian's Python has QGIS; another one that comes first in PATH has not.
exec /usr/bin/python3 "$(dirname "$0")/layers_with_qgis.py" "$@"
