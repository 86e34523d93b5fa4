"""What is sent and what is read, without a board: against the contract's own schemas."""

from __future__ import annotations

import json
from datetime import datetime, timedelta, timezone

import jsonschema
import pytest
import shapely
from conftest import ROOT

from geosam_edge_client import Everything, Output, Prompt, answers, calls, errors

SCHEMAS = ROOT / "docs/schemas"
REQUEST = json.loads((SCHEMAS / "request.json").read_text())
RESPONSE = json.loads((SCHEMAS / "response.json").read_text())
ALL = Output(
    crs="EPSG:32632",
    vectorization="simplified",
    tolerance=2,
    largest_only=True,
    min_area_m2=1,
    max_bytes=9000,
    on_too_large="error",
)
PROMPT = {"points": [(9.1, 47.6), (9.2, 47.7)], "labels": [1, 0], "bbox": (9, 47, 10, 48), "crs": "EPSG:4326", "folder": "f"}


def check(call: calls.Call[object], kind: str | None = None) -> dict[str, object]:
    """The request, which is one of its verb."""
    body = json.loads(call.payload)
    jsonschema.validate(body, {"$ref": f"#/$defs/{kind or call.verb}", "$defs": REQUEST["$defs"]})
    return body


def test_every_request_is_one_of_the_contract() -> None:
    for call in [
        calls.segment(None, {**PROMPT, "output": ALL, "stitch": True, "max_chips": 3, "ttl_ms": 9, "timeout": 2.0}),
        calls.preview(None, {"points": [(9, 47)], "output": Output(multimask="best")}),
        calls.segment_many([Prompt(id="a", points=[(9, 47)]), Prompt(id=2, bbox=(9, 47, 10, 48), output=ALL)], {"stitch": True}),
        calls.add("s", None, PROMPT),
        calls.undo("s", {"output": ALL}),
        calls.clear("s", {}),
        calls.save("ponds", None, {"session": "s", "properties": {"kind": "pond"}}),
        calls.save("ponds", None, {**PROMPT, "output": Output(tolerance=2.5, vectorization="simplified")}),
        calls.save_many("ponds", [Prompt(points=[(9, 47)], properties={"n": 1})], {"properties": {"survey": "may"}}),
        calls.unsave("s", "ponds", {}),
        calls.update("ponds", iter(["a"]), {"properties": {"kind": None}, "to_layer": "lakes"}),
        calls.delete("ponds", ["a", "b"], {"id": "mine"}),
        calls.listing({}),
        calls.fetch("ponds", 0, 10, {"ids": ("a",), "client": "c", "since": datetime.now(timezone.utc), "bbox": (9, 47, 10, 48)}),
        calls.everything(
            "found", Everything(points_per_side=4, nms_thresh=0.5), {"bbox": (9, 47, 10, 48), "properties": {"a": 1}}
        ),
        calls.everything("found", None, {"folder": "f"}),
        calls.cancel("other", {}),
        calls.cancel(None, {}),
    ]:
        body = check(call)
        assert body["id"] == call.id and "timeout" not in body
        assert call.qos == (0 if body.get("preview") else 1)


def test_what_was_drawn_is_sent_as_geojson() -> None:
    point = check(calls.segment(shapely.Point(9.1, 47.6), {"stitch": True}), "geojson")
    assert point["geometry"] == {"type": "Point", "coordinates": [9.1, 47.6]}
    assert point["geosam"]["stitch"] is True and point["geosam"]["id"].startswith("segment-")
    feature = {
        "type": "Feature",
        "id": 7,
        "bbox": [9, 47, 9, 47],
        "properties": None,
        "geometry": {"type": "Point", "coordinates": [9, 47]},
    }
    batch = check(calls.save_many("l", {"type": "FeatureCollection", "name": "clicked", "features": [feature]}, {}), "geojson")
    assert batch["features"] == [{"type": "Feature", "id": 7, "properties": {}, "geometry": feature["geometry"]}]
    assert batch["geosam"]["objects"] == "each" and batch["geosam"]["layer"] == "l"


def test_a_frame_is_sent_in_degrees() -> None:
    geopandas = pytest.importorskip("geopandas")
    frame = geopandas.GeoDataFrame({"label": [1]}, geometry=[shapely.Point(512_925, 5_277_712)], crs=32632)
    body = check(calls.segment(frame, {}), "geojson")
    x, y = body["features"][0]["geometry"]["coordinates"]
    assert (x, y) == pytest.approx((9.1721, 47.6528), abs=1e-3)
    assert body["features"][0]["properties"] == {"label": 1} and "crs" not in body


def test_times_have_a_zone() -> None:
    noon = datetime(2026, 5, 1, 12, tzinfo=timezone(timedelta(hours=2)))
    assert check(calls.fetch("l", 0, 1, {"since": noon, "until": "2026-06-01T00:00:00Z"}))["since"] == "2026-05-01T10:00:00Z"
    with pytest.raises(TypeError, match="no time zone"):
        calls.fetch("l", 0, 1, {"since": datetime(2026, 5, 1)})


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"points": (9.1, 47.6)}, r"points are a list of \(x, y\)"),
        ({"points": [(9.1, 47.6, 3)]}, r"a point is \(x, y\)"),
        ({"points": ["ab"]}, r"a point is \(x, y\)"),
        ({"bbox": (1, 2, 3)}, r"a box is \(west, south, east, north\)"),
    ],
)
def test_a_prompt_of_another_shape_is_told_before_it_is_sent(given: dict[str, object], told: str) -> None:
    with pytest.raises(TypeError, match=told):
        calls.segment(None, given)


def test_a_number_that_json_has_not_is_told_before_it_is_sent() -> None:
    with pytest.raises(ValueError, match="JSON"):
        calls.segment(None, {"points": [(float("nan"), 47)]})


def test_each_code_has_its_exception() -> None:
    assert list(errors.CODES) == RESPONSE["$defs"]["code"]["enum"]
    for code, kind in errors.CODES.items():
        raised = errors.refusal({"id": "1", "status": "error", "error": {"code": code, "message": "m", "retryable": True}})
        assert type(raised) is kind and (raised.code, raised.retryable, str(raised)) == (code, True, f"{code}: m")
        assert kind.__name__.lower() == code.replace("_", "").lower()
    newer = errors.refusal({"id": "1", "error": {"code": "OUT_OF_TEA", "message": "m", "retryable": False}})
    assert type(newer) is errors.BoardError


def test_an_answer_says_all_that_the_contract_says() -> None:
    answer = {
        "id": "1",
        "status": "ok",
        "result": {"type": "FeatureCollection", "features": []},
        "masks": [{"index": 0, "score": 0.9, "pixels": 0, "chip_id": "c", "cut_at": ["top"]}],
        "timing_ms": {"queue": 0, "load": 0, "decode": 0, "vectorize": 0},
        "chips": ["c", "d"],
        "complete": False,
        "incomplete_because": ["max_chips"],
    }
    jsonschema.validate(answer, RESPONSE)
    read = answers.segmentation(answer)
    assert read.empty and read.area_m2 == 0 and read.score == 0.9 and read.candidates[0].cut_at == ("top",)
    assert (read.chips, read.complete, read.incomplete_because) == (("c", "d"), False, ("max_chips",))
