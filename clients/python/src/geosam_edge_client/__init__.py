"""Ask a geosam-edge board for the objects under points and boxes, over MQTT.

    from geosam_edge_client import connect

    with connect("127.0.0.1") as broker:
        pond = broker.board("board-7").segment(points=[(9.17211953, 47.65281208)])
        print(pond.score, pond.area_m2, pond.collection)

`connect_async` is the same for asyncio. Each refusal of the contract is an exception of its own in `errors`.
"""

from . import errors
from .aio import AsyncBoard, AsyncBroker, AsyncSession, connect_async
from .answers import (
    BatchEntry,
    Candidate,
    Found,
    Listing,
    Page,
    Progress,
    SavedObject,
    SavedObjects,
    Segmentation,
)
from .client import Board, Broker, Session, connect
from .errors import BoardError, CannotConnect, Disconnected, GeosamError, NoAnswer, NoSuchBoard, RefusedByBroker
from .prompts import Everything, Finish, Output, Prompt

__all__ = [
    "AsyncBoard",
    "AsyncBroker",
    "AsyncSession",
    "BatchEntry",
    "Board",
    "BoardError",
    "Broker",
    "Candidate",
    "CannotConnect",
    "Disconnected",
    "Everything",
    "Finish",
    "Found",
    "GeosamError",
    "Listing",
    "NoAnswer",
    "NoSuchBoard",
    "Output",
    "Page",
    "Progress",
    "Prompt",
    "RefusedByBroker",
    "SavedObject",
    "SavedObjects",
    "Segmentation",
    "Session",
    "connect",
    "connect_async",
    "errors",
]
