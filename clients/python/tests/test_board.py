"""A board that serves the demo card, asked by ordinary programs."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest
import shapely
from conftest import ROOT, Service

from geosam_edge_client import Board, Broker, Everything, Output, Progress, Prompt, errors

POND = (9.17211953, 47.65281208)
FIELD = (9.16840263, 47.6543877)
NOWHERE = (9.2, 47.7)
SIMPLE = Output(vectorization="simplified", largest_only=True)
Truth = Callable[[str], list[dict[str, Any]]]


def iou(a: shapely.Geometry, b: shapely.Geometry) -> float:
    return float(a.intersection(b).area / a.union(b).area)


def test_ponds_are_found_where_they_are(board: Board, truth: Truth) -> None:
    for pond in truth("pond")[:4]:
        found = board.segment(points=[pond["properties"]["inside"]])
        shape = shapely.union_all([shapely.geometry.shape(f["geometry"]) for f in found.features])
        wanted = shapely.geometry.shape(pond["geometry"])
        assert iou(shape, wanted) > 0.85
        assert found.score > 0.8 and not found.empty and found.chip_bbox is not None
        boxed = board.segment(bbox=wanted.bounds, output=SIMPLE)
        assert iou(shapely.geometry.shape(boxed.features[0]["geometry"]), wanted) > 0.85 and boxed.tolerance == 1.5


def test_the_answer_is_what_the_command_line_answers(board: Board) -> None:
    import subprocess

    from conftest import DEMO, PROGRAM

    printed = subprocess.run(
        [
            PROGRAM,
            "segment",
            DEMO / "features",
            "--models",
            DEMO / "models",
            "--engine",
            "fused",
            "--point",
            "{},{}".format(*POND),
        ],
        check=True,
        capture_output=True,
        text=True,
    )
    assert board.segment(points=[POND]).collection == json.loads(printed.stdout)


def test_what_was_drawn_is_a_prompt(board: Board) -> None:
    clicked = board.segment(shapely.Point(POND))
    assert clicked.collection == board.segment(points=[POND]).collection
    bounds = shapely.geometry.shape(clicked.features[0]["geometry"]).bounds
    drawn = board.segment(shapely.box(*bounds))
    assert iou(*(shapely.geometry.shape(each.features[0]["geometry"]) for each in (clicked, drawn))) > 0.9


def test_three_candidates_and_another_crs(board: Board) -> None:
    found = board.segment(points=[POND], output=Output(multimask=True, crs="source"))
    assert len(found.candidates) == 3 and found.collection["crs"]["properties"]["name"].endswith("32632")


def test_a_session_is_built_saved_and_taken_back(board: Board) -> None:
    session = board.session()
    first = session.add(points=[FIELD], output=SIMPLE)
    both = session.add(points=[POND], labels=[0])
    assert both.features and first.features
    assert [each["session"] for each in board.list().sessions] == [session.name]
    assert session.undo().collection == first.collection
    saved = session.save("session-test", properties={"crop": "barley"})
    assert saved.feature is not None and saved.feature["properties"]["crop"] == "barley"
    assert saved.feature["geometry"] == first.features[0]["geometry"]
    assert board.fetch("session-test").features == [saved.feature]
    assert session.unsave("session-test") == saved.id
    assert board.fetch("session-test").features == []
    session.add(points=[FIELD])
    session.clear()
    assert board.list().sessions == []
    with pytest.raises(errors.NothingToSave):
        session.save("session-test")


def test_objects_are_fetched_updated_moved_and_deleted(board: Board, truth: Truth) -> None:
    begun = datetime.now(timezone.utc) - timedelta(seconds=2)
    prompts = [
        Prompt(id=n, points=[pond["properties"]["inside"]], properties={"n": n}) for n, pond in enumerate(truth("pond")[:7])
    ]
    entries = board.save_many("ponds", prompts, output=SIMPLE, properties={"survey": "may"})
    ids = [entry.unwrap().id for entry in entries]
    assert [entry.id for entry in entries] == list(range(7)) and len(set(ids)) == 7
    assert [f["id"] for f in board.fetch("ponds").features] == ids
    pages = list(board.pages("ponds", size=3))
    assert [len(page.features) for page in pages] == [3, 3, 1] and pages[0].total == 7
    assert [f["id"] for f in board.fetch("ponds", limit=2).features] == ids[:2]
    assert len(board.fetch("ponds", since=begun).features) == 7 and not board.fetch("ponds", until=begun).features
    assert [f["id"] for f in board.fetch("ponds", ids=ids[4:5]).features] == ids[4:5]
    assert board.update("ponds", ids[:2], properties={"kind": "lake", "survey": None}) == ids[:2]
    changed = board.fetch("ponds", ids=ids[:1]).features[0]["properties"]
    assert changed["kind"] == "lake" and "survey" not in changed
    board.update("ponds", ids[:1], to_layer="lakes")
    assert board.fetch("lakes").features[0]["id"] == ids[0]
    assert board.delete("ponds", ids[1:]) == ids[1:] and board.fetch("ponds").total == 0
    with pytest.raises(errors.UnknownObject):
        board.delete("ponds", ids)
    with pytest.raises(errors.UnknownLayer):
        board.fetch("nothing-here")


def test_a_batch_answers_and_refuses_each_by_itself(board: Board) -> None:
    entries = board.segment_many([Prompt(id="a", points=[POND]), Prompt(id="b", points=[NOWHERE])], output=SIMPLE)
    assert entries[0].unwrap().area_m2 == pytest.approx(1040, rel=0.05)
    assert isinstance(entries[1].error, errors.NoChipCovers) and entries[1].id == "b"
    with pytest.raises(errors.NoChipCovers):
        entries[1].unwrap()


def test_a_collection_is_a_batch_of_its_features(board: Board) -> None:
    features = [
        {"type": "Feature", "id": name, "properties": {"name": name}, "geometry": {"type": "Point", "coordinates": at}}
        for name, at in [("pond", POND), ("field", FIELD)]
    ]
    entries = board.segment_many({"type": "FeatureCollection", "features": features}, output=SIMPLE)
    assert [(entry.id, entry.unwrap().properties) for entry in entries] == [
        ("pond", {"name": "pond"}),
        ("field", {"name": "field"}),
    ]


def test_frames_in_and_out(board: Board, truth: Truth) -> None:
    geopandas = pytest.importorskip("geopandas")
    ponds = truth("pond")[:3]
    clicked = geopandas.GeoDataFrame(
        {"name": ["a", "b", "c"]}, geometry=[shapely.Point(p["properties"]["inside"]) for p in ponds], crs=4326
    ).to_crs(3857)
    entries = board.save_many("frames", clicked, output=SIMPLE)
    assert all(entry.error is None for entry in entries)
    frame = board.fetch("frames").to_geodataframe()
    assert (
        frame.crs == "EPSG:4326"
        and list(frame["name"]) == ["a", "b", "c"]
        and list(frame.index) == [e.unwrap().id for e in entries]
    )
    for shape, pond in zip(frame.geometry, ponds, strict=True):
        assert iou(shape, shapely.geometry.shape(pond["geometry"])) > 0.85
    found = board.segment(points=[POND], output=Output(crs="source")).to_geodataframe()
    assert found.crs == "EPSG:32632" and found.area.sum() == pytest.approx(1040, rel=0.05)
    board.delete("frames", frame.index)
    assert len(board.fetch("frames").to_geodataframe()) == 0


def test_everything_tells_how_far_it_is(board: Board) -> None:
    heard: list[Progress] = []
    main = threading.get_ident()

    def progress(step: Progress) -> None:
        assert threading.get_ident() == main
        heard.append(step)

    area = (9.1711, 47.6521, 9.1731, 47.6535)
    found = board.everything(
        "found", bbox=area, grid=Everything(points_per_side=6, pred_iou_thresh=0.5, stability_score_thresh=0.5), progress=progress
    )
    assert found.layer == "found" and found.chips_skipped == 0 and found.chips >= 1
    assert heard and [step.done for step in heard] == list(range(1, len(heard) + 1)) and heard[-1].total == found.chips
    assert board.fetch("found").total == found.objects >= 1


def test_previews_give_way_to_newer_ones(board: Board) -> None:
    answers: dict[int, object] = {}

    def look(number: int) -> None:
        answers[number] = board.preview(points=[FIELD])

    threads = [threading.Thread(target=look, args=(number,)) for number in range(12)]
    for thread in threads:
        thread.start()
        time.sleep(0.002)
    for thread in threads:
        thread.join()
    assert len(answers) == 12
    # The first one runs at once, and one is the newest; those between had to wait, and gave way.
    assert sum(answer is not None for answer in answers.values()) >= 1
    assert board.preview(points=[POND]) is not None


def test_the_same_request_again_is_not_done_twice(board: Board) -> None:
    first = board.save("twice", points=[POND], id="only-once")
    again = board.save("twice", points=[POND], id="only-once")
    assert first == again and board.fetch("twice").total == 1
    with pytest.raises(errors.IdReused):
        board.save("twice", points=[FIELD], id="only-once")


@pytest.mark.parametrize(
    ("given", "kind"),
    [
        ({"points": [NOWHERE]}, errors.NoChipCovers),
        ({"points": [POND], "labels": [1, 1]}, errors.BadRequest),
        ({"points": [POND], "folder": "nowhere"}, errors.UnknownFolder),
        ({"points": [POND], "crs": "EPSG:1"}, errors.UnknownCrs),
        ({"points": [POND], "output": Output(max_bytes=300, on_too_large="error")}, errors.TooLarge),
        ({}, errors.BadRequest),
    ],
)
def test_refusals_are_exceptions_with_their_codes(board: Board, given: dict[str, Any], kind: type[errors.BoardError]) -> None:
    with pytest.raises(kind) as raised:
        board.segment(**given)
    assert raised.value.code in str(raised.value) and raised.value.request_id is not None and not raised.value.retryable


def test_a_board_tells_of_itself(broker: Broker, board: Board, service: Service) -> None:
    assert broker.boards()["board-7"] == "online" and board.state == "online" and "board-7" in repr(board)
    assert board.info is not None and board.info["api"] == 1
    listing = board.list()
    assert [folder["name"] for folder in listing.folders] == ["features"] and listing.models[0]["model"] == "demo.pt"
    assert board.cancel() == 0


def test_many_threads_share_one_connection(board: Board, truth: Truth) -> None:
    ponds = truth("pond")
    found: dict[int, float] = {}

    def ask(number: int) -> None:
        pond = ponds[number]
        answer = board.segment(points=[pond["properties"]["inside"]], output=SIMPLE)
        found[number] = iou(shapely.geometry.shape(answer.features[0]["geometry"]), shapely.geometry.shape(pond["geometry"]))

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(len(ponds))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == len(ponds) and min(found.values()) > 0.8


def test_the_readme_is_about_this_package() -> None:
    text = (ROOT / "clients/python/README.md").read_text()
    blocks = [block.split("```")[0] for block in text.split("```python\n")[1:]]
    assert blocks
    for block in blocks:
        compile(block, "README.md", "exec", flags=0x2000)  # await outside of functions, as a notebook has it
