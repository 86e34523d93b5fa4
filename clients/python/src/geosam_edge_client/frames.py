"""GeoJSON as GeoDataFrames. The one place that imports geopandas, and only when it is asked to."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from geopandas import GeoDataFrame

    from .prompts import Json


def frame_of(collection: Json) -> GeoDataFrame:
    """A FeatureCollection as a frame, in the CRS of its member `crs` of GeoJSON 2008, or else in EPSG:4326.

    Raises:
        ImportError: where geopandas is not installed.
    """
    try:
        import geopandas
    except ImportError as error:
        told = "GeoDataFrames need geopandas: pip install 'geosam-edge-client[geo]'"
        raise ImportError(told) from error
    crs: Any = collection.get("crs")
    name: str = crs["properties"]["name"] if crs else "EPSG:4326"
    features: list[Json] = collection["features"]
    make: Any = geopandas.GeoDataFrame
    if not features:
        return make({"id": []}, geometry=[], crs=name)
    frame: Any = make.from_features(features, crs=name)
    if "id" not in frame.columns and all(feature.get("id") is not None for feature in features):
        frame.insert(0, "id", [feature["id"] for feature in features])
    return frame
