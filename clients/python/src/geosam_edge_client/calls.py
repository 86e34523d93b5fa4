"""Each verb of the contract as a value: what is sent, and how its answer is read. Pure; sync and asyncio share it.

Not here: how it is sent and waited for (`connection`, `client`, `aio`).
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any, Generic, TypedDict, TypeVar

from . import answers
from .prompts import Drawn, Everything, Json, Output, Position, Prompt, PromptArgs, drawn_request, encode, entry, members

if TYPE_CHECKING:
    from .answers import BatchEntry, Found, Listing, Page, SavedObject, Segmentation

T = TypeVar("T")

PAGE = 100
"""Objects of a page of `fetch`, as the contract has it."""


class RequestArgs(TypedDict, total=False):
    """Keywords of every request.

    Keys:
        id: 1 to 64 of `A-Z a-z 0-9 . _ -`; a new one without. The same request again, with its id, is never done twice.
        ttl_ms: milliseconds after which the board answers `EXPIRED` instead of asking the model.
        timeout: seconds to wait for the answer, instead of the connection's own.
    """

    id: str
    ttl_ms: int
    timeout: float


class SegmentArgs(PromptArgs, RequestArgs, total=False):
    """Keywords of `segment`, `preview` and `add`."""


class SaveArgs(SegmentArgs, total=False):
    """Keywords of `save` with prompts of its own.

    Keys:
        properties: kept with the object, beside those that objects have of their own.
        session: without prompts; its last object this one becomes, for `unsave`.
    """

    properties: Mapping[str, Any]
    session: str


class OutputArgs(RequestArgs, total=False):
    """Keywords of `undo` and of `save` of a session; what is not said is as in the last answer.

    Keys:
        output: what the answer, or the saved object, looks like.
        stitch: follow the object into neighbouring chips.
        max_chips: over how many.
    """

    output: Output
    stitch: bool
    max_chips: int


class FetchArgs(RequestArgs, total=False):
    """Which objects of a layer; those that fit all of these.

    Keys:
        ids: of these ids.
        client: that this client saved.
        since: saved then or later, by the board's clock; an aware datetime, or a text like `2026-05-01T12:00:00Z`.
        until: saved before then.
        bbox: that meet this box, in EPSG:4326.
    """

    ids: Iterable[str]
    client: str
    since: datetime | str
    until: datetime | str
    bbox: Position


@dataclass(frozen=True)
class Call(Generic[T]):
    """A request and what its answer means.

    Attributes:
        verb: of the topic.
        id: of the request.
        payload: as it is sent.
        read: the answer, from an answer whose status is `ok`.
        qos: 0 for previews, which are not kept anywhere.
        timeout: seconds; `None` is the connection's own.
    """

    verb: str
    id: str
    payload: bytes
    read: Callable[[Json], T]
    qos: int
    timeout: float | None


def _call(verb: str, given: Mapping[str, Any], read: Callable[[Json], T], drawn: Drawn | None = None, qos: int = 1) -> Call[T]:
    given = dict(given)
    timeout = given.pop("timeout", None)
    if given.get("ids") is not None:
        given["ids"] = list(given["ids"])
    given["id"] = request_id = given.get("id") or f"{verb}-{uuid.uuid4().hex}"
    body = members(given)
    if drawn is not None:
        body = drawn_request(drawn, body)
    return Call(verb, request_id, encode(body), read, qos, timeout)


def segment(drawn: Drawn | None, given: Mapping[str, Any]) -> Call[Segmentation]:
    return _call("segment", given, answers.segmentation, drawn)


def preview(drawn: Drawn | None, given: Mapping[str, Any]) -> Call[Segmentation]:
    return _call("segment", {**given, "preview": True}, answers.segmentation, drawn, qos=0)


def segment_many(prompts: Iterable[Prompt] | Drawn, given: Mapping[str, Any]) -> Call[list[BatchEntry[Segmentation]]]:
    return _batch("segment", prompts, given, answers.segmentations)


def add(session: str, drawn: Drawn | None, given: Mapping[str, Any]) -> Call[Segmentation]:
    return _call("add", {**given, "session": session}, answers.segmentation, drawn)


def undo(session: str, given: Mapping[str, Any]) -> Call[Segmentation]:
    return _call("undo", {**given, "session": session}, answers.segmentation)


def clear(session: str, given: Mapping[str, Any]) -> Call[Segmentation]:
    return _call("clear", {**given, "session": session}, answers.segmentation)


def save(layer: str, drawn: Drawn | None, given: Mapping[str, Any]) -> Call[SavedObject]:
    return _call("save", {**given, "layer": layer}, answers.saved, drawn)


def save_many(layer: str, prompts: Iterable[Prompt] | Drawn, given: Mapping[str, Any]) -> Call[list[BatchEntry[SavedObject]]]:
    return _batch("save", prompts, {**given, "layer": layer}, answers.saves)


def unsave(session: str, layer: str, given: Mapping[str, Any]) -> Call[str]:
    return _call("unsave", {**given, "session": session, "layer": layer}, answers.unsaved)


def update(layer: str, ids: Iterable[str], given: Mapping[str, Any]) -> Call[list[str]]:
    return _call("update", {**given, "layer": layer, "ids": ids}, answers.updated)


def delete(layer: str, ids: Iterable[str], given: Mapping[str, Any]) -> Call[list[str]]:
    return _call("delete", {**given, "layer": layer, "ids": ids}, answers.deleted)


def fetch(layer: str, offset: int, limit: int, given: Mapping[str, Any]) -> Call[Page]:
    return _call("fetch", {**given, "layer": layer, "offset": offset, "limit": limit}, answers.page)


def everything(layer: str, grid: Everything | None, given: Mapping[str, Any]) -> Call[Found]:
    return _call("everything", {**given, "layer": layer, "everything": grid}, answers.found)


def listing(given: Mapping[str, Any]) -> Call[Listing]:
    return _call("list", given, answers.listing)


def cancel(request_id: str | None, given: Mapping[str, Any]) -> Call[int]:
    return _call("cancel", {**given, "request_id": request_id}, answers.cancelled)


def _batch(verb: str, prompts: Any, given: Mapping[str, Any], read: Callable[[Json], list[T]]) -> Call[list[T]]:
    if hasattr(prompts, "keys") or hasattr(prompts, "__geo_interface__"):
        return _call(verb, {**given, "objects": "each"}, read, prompts)
    return _call(verb, {**given, "prompts": [entry(prompt) for prompt in prompts]}, read)
