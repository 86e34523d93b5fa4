"""Asks a board for the object under a point, and draws it over the raster as a PNG.

pip install './clients/python[geo]' matplotlib rasterio
python plot_mask.py models/demo/scene.tif 9.17211953 47.65281208 --board board-7 --output pond.png
"""

import argparse

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import rasterio
import rasterio.plot
from rasterio.warp import transform
from rasterio.windows import from_bounds

from geosam_edge_client import Output, connect


def main() -> None:
    parser = argparse.ArgumentParser(description="Draws a mask over the raster.")
    parser.add_argument("raster", help="the GeoTIFF that the board's folder was made of")
    parser.add_argument("lon", type=float)
    parser.add_argument("lat", type=float)
    parser.add_argument("--board", help="name of the board; not needed where there is but one")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=1883)
    parser.add_argument("--output", default="mask.png")
    options = parser.parse_args()

    with connect(options.host, options.port) as broker:
        board = broker.board(options.board)
        # In the raster's own CRS, so that nothing needs to be warped.
        found = board.segment(points=[(options.lon, options.lat)], output=Output(crs="source"))
    if found.empty:
        raise SystemExit("nothing is there")
    frame = found.to_geodataframe()

    with rasterio.open(options.raster) as raster:
        west, south, east, north = frame.total_bounds
        margin = 0.6 * max(east - west, north - south)
        bounds = (west - margin, south - margin, east + margin, north + margin)
        window = from_bounds(*bounds, transform=raster.transform).intersection(
            rasterio.windows.Window(0, 0, raster.width, raster.height)
        )
        picture = raster.read([1, 2, 3], window=window)
        extent = rasterio.plot.plotting_extent(picture[0], raster.window_transform(window))
        [x], [y] = transform("EPSG:4326", raster.crs, [options.lon], [options.lat])

    figure, axes = plt.subplots(figsize=(5, 5), layout="constrained")
    axes.imshow(picture.transpose(1, 2, 0), extent=extent)
    frame.plot(ax=axes, facecolor=(1, 0.84, 0, 0.3), edgecolor=(1, 0.84, 0), linewidth=1.5)
    axes.plot(x, y, "o", color="lime", markeredgecolor="black")
    axes.set_title(f"{board.name}: score {found.score:.2f}, {found.area_m2:.0f} m²")
    axes.ticklabel_format(style="plain", useOffset=False)
    axes.tick_params(labelsize=7)
    figure.savefig(options.output, dpi=110)
    print(f"{options.output}: {len(found.features)} polygon(s), {found.area_m2:.1f} m2")


if __name__ == "__main__":
    main()
