#!/bin/sh
# Makes the whole demo anew: raster and truth, training, the Geo-SAM folder, the imported decoder.
#
#     models/demo/make_demo.sh STATE_DIR [STEPS]
#
# Needs Python with: geosam ultralytics torch rasterio pyproj shapely opencv-python-headless. STATE_DIR keeps the training's state:
# a second call with more STEPS goes on from there. Without training anew, put best.pt there and give 0 steps.
set -eu
state=$1
steps=${2:-2000}
here=$(cd "$(dirname "$0")" && pwd)
python=${PYTHON:-python3}
mkdir -p "$state"
"$python" "$here/make_scene.py"
if [ "$steps" -gt 0 ]; then "$python" "$here/train.py" --state "$state" --steps "$steps"; fi
"$python" "$here/evaluate.py" "$state/best.pt"
"$python" "$here/encode.py" "$state/best.pt" --checkpoint "$state/demo.pt"
cd "$here/../.."
cargo run --release -- import-model "$state/demo.pt" --models models/demo/models --name demo
