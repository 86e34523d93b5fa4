"""Goal 4: polygonizing against rasterio.features.shapes, on smooth and on noisy masks."""

import json
import subprocess
import sys
import tempfile
import warnings
from pathlib import Path

from measure import REPOSITORY, Row, timed

sys.path.insert(0, str(REPOSITORY / "benches"))


def measure(example, sides, rounds):
    import numpy as np
    import rasterio
    from polygonize_time import generated, vertices, write
    from rasterio.features import shapes
    from shapely.geometry import shape

    warnings.filterwarnings("ignore", category=rasterio.errors.NotGeoreferencedWarning)
    rows = []
    with tempfile.TemporaryDirectory() as directory:
        for side in sides:
            for name, mask in generated(side):
                path = Path(directory) / f"{name}-{side}.png"
                write(path, mask)
                pixels = mask.astype(np.uint8)
                ours, theirs = [], []
                for _ in range(rounds):
                    found = json.loads(subprocess.run([example, path], check=True, capture_output=True).stdout)
                    ours.append(found["polygonize_ms"])
                    elapsed, features = timed(lambda: list(shapes(pixels, mask=mask)))
                    theirs.append(elapsed)
                polygons = [shape(geometry) for geometry, _ in features]
                corners = sum(map(vertices, polygons))
                if (len(polygons), corners) != (found["polygons"], found["vertices"]):
                    raise SystemExit(f"{name} {side}: {len(polygons)} polygons, {corners} corners; ours {found}")
                rows.append(Row("4", f"{name}, {side} x {side}, {corners} corners", ours, theirs, 0.3))
    return rows
