#!/bin/sh
# Makes the whole demo anew: raster and truth, training, figures, the Geo-SAM folder, the imported decoder.
#
#     models/demo/make_demo.sh STATE_DIR [--steps N] [--weights ENCODER.pt]
#
# STATE_DIR keeps the training's state, and the checkpoint demo.pt: a second call with more steps (2000 unless said) goes
# on from there. With --weights nothing is trained; ENCODER.pt is the best.pt of a training.
#
# Needs Python ($PYTHON, or python3) with: geosam ultralytics torch rasterio pyproj shapely geopandas opencv-python-headless.
# The decoder is imported by $GEOSAM_EDGE, or a build of this repository. Everything is written beside this script;
# `git status` tells afterwards what has changed. The figures go to STATE_DIR/figures.txt, too.
set -eu
usage() { sed -n '4p' "$0" >&2; exit 2; }
[ $# -ge 1 ] || usage
state=$1 steps=2000 weights=
shift
while [ $# -gt 0 ]; do
    case $1 in
        --steps) steps=${2:?} ;;
        --weights) weights=$(realpath "${2:?}") ;;
        *) usage ;;
    esac
    shift 2
done
mkdir -p "$state"
state=$(realpath "$state")
here=$(cd "$(dirname "$0")" && pwd)
python=${PYTHON:-python3}
step() { printf '\n=== %s (%s)\n' "$1" "$(date +%T)"; }

step "raster and truth"
"$python" "$here/make_scene.py"

if [ -z "$weights" ]; then
    step "training, $steps steps"
    "$python" "$here/train.py" --state "$state" --steps "$steps"
    weights=$state/best.pt
fi

step "figures on unseen scenes"
"$python" "$here/evaluate.py" "$weights" --scenes 8 > "$state/figures.txt"
cat "$state/figures.txt"

step "the folder, and geosam's own masks on it"
rm -rf "$here/features"
"$python" "$here/encode.py" "$weights" --checkpoint "$state/demo.pt" > "$state/geosam.txt"
tee -a "$state/figures.txt" < "$state/geosam.txt"

step "the decoder"
rm -rf "$here/models"
mkdir "$here/models"
cd "$here/../.."
${GEOSAM_EDGE:-cargo run --release --} import-model "$state/demo.pt" --models models/demo/models --name demo --half

step "done: compare with git status"
