"""Why a request has no answer: refusals of the board, each code an exception of its own, and failures of the way there.

Not here: when they are raised (`connection`).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


class GeosamError(Exception):
    """Any failure that this package tells."""


class CannotConnect(GeosamError, ConnectionError):
    """Nothing takes connections there, or it takes none of ours."""


class Disconnected(GeosamError, ConnectionError):
    """The connection to the broker is lost, and what was asked does not wait for it."""


class RefusedByBroker(GeosamError, PermissionError):
    """The broker does not let us in, publish or listen: see its access list."""


class NoSuchBoard(GeosamError, LookupError):
    """No board of this name has ever told its state to the broker.

    Attributes:
        boards: those that have, with their states (`online`, `offline`).
    """

    def __init__(self, message: str, boards: Mapping[str, str]) -> None:
        super().__init__(message)
        self.boards = dict(boards)


class NoAnswer(GeosamError, TimeoutError):
    """The board has not answered in time.

    Attributes:
        request_id: asking again with this id never does a thing twice.
    """

    def __init__(self, message: str, request_id: str) -> None:
        super().__init__(message)
        self.request_id = request_id


class BoardError(GeosamError):
    """The board refused. One of the classes below; this class itself for a code that is newer than this package.

    Attributes:
        code: the stable code, such as `NO_CHIP_COVERS`.
        message: what is wrong with this request, and what to do.
        retryable: whether the same request, unchanged, may be answered later.
        request_id: id of the request, or of the entry of a batch.
    """

    def __init__(self, code: str, message: str, retryable: bool, request_id: str | int | None) -> None:
        super().__init__(f"{code}: {message}")
        self.code = code
        self.message = message
        self.retryable = retryable
        self.request_id = request_id


class BadRequest(BoardError):
    """A key or value is wrong, or not the verb's."""


class UnknownVerb(BoardError):
    """The board does not know what was asked: its program is older than this package."""


class UnknownCrs(BoardError):
    """A CRS that cannot be read or has not been tested."""


class NoChipCovers(BoardError):
    """The prompt lies outside the imagery; the message says where the nearest chip is."""


class OutsideChip(BoardError):
    """The box, or the points together, lie on no one chip: `stitch=True` follows over several."""


class UnknownFolder(BoardError):
    """No folder of that name, or several."""


class UnknownSession(BoardError):
    """The session does not exist: no `add` has begun it, or it has ended; begin it with `add`."""


class UnknownLayer(BoardError):
    """No such layer."""


class UnknownObject(BoardError):
    """An id that the layer does not have; nothing was changed."""


class UnknownMask(BoardError):
    """`mask_of` names an answer whose mask the board does not keep (any more): ask again without it."""


class MaskMismatch(BoardError):
    """The mask to refine is of another chip, folder or model than the prompt."""


class NothingToSave(BoardError):
    """No prompt, an empty mask, or nothing to take back."""


class TooManyLayers(BoardError):
    """The request would begin a layer, and there are as many as the board keeps."""


class LayerFull(BoardError):
    """The layer that the request would add to is as large as the board keeps one."""


class FolderNotReady(BoardError):
    """The folder cannot be served now."""


class ModelMissing(BoardError):
    """The folder's model has not been imported on the board."""


class ModelMismatch(BoardError):
    """The imported model is not that of the folder."""


class ChipUnreadable(BoardError):
    """The chip's file is missing or damaged."""


class TooLarge(BoardError):
    """The answer does not fit however coarse."""


class Expired(BoardError):
    """It waited longer than its `ttl_ms`."""


class Superseded(BoardError):
    """A newer preview took its place."""


class Busy(BoardError):
    """The board's queue is full: ask again a little later."""


class Cancelled(BoardError):
    """It was taken back with `cancel`."""


class IdReused(BoardError):
    """The id was used for another request that changed something."""


class AlreadyDone(BoardError):
    """It was carried out before, and the answer's text is no longer kept."""


class Undeliverable(BoardError):
    """The broker does not let the answer through."""


class CardError(BoardError):
    """A card of the board is gone, full or failing."""


class Internal(BoardError):
    """A fault of the board's program."""


CODES: Mapping[str, type[BoardError]] = {
    "BAD_REQUEST": BadRequest,
    "UNKNOWN_VERB": UnknownVerb,
    "UNKNOWN_CRS": UnknownCrs,
    "NO_CHIP_COVERS": NoChipCovers,
    "OUTSIDE_CHIP": OutsideChip,
    "UNKNOWN_FOLDER": UnknownFolder,
    "UNKNOWN_SESSION": UnknownSession,
    "UNKNOWN_LAYER": UnknownLayer,
    "UNKNOWN_OBJECT": UnknownObject,
    "UNKNOWN_MASK": UnknownMask,
    "NOTHING_TO_SAVE": NothingToSave,
    "TOO_MANY_LAYERS": TooManyLayers,
    "LAYER_FULL": LayerFull,
    "FOLDER_NOT_READY": FolderNotReady,
    "MODEL_MISSING": ModelMissing,
    "MODEL_MISMATCH": ModelMismatch,
    "MASK_MISMATCH": MaskMismatch,
    "CHIP_UNREADABLE": ChipUnreadable,
    "TOO_LARGE": TooLarge,
    "EXPIRED": Expired,
    "SUPERSEDED": Superseded,
    "BUSY": Busy,
    "CANCELLED": Cancelled,
    "ID_REUSED": IdReused,
    "ALREADY_DONE": AlreadyDone,
    "UNDELIVERABLE": Undeliverable,
    "CARD_ERROR": CardError,
    "INTERNAL": Internal,
}
"""The exception of each code of the contract."""


def refusal(answer: Mapping[str, Any]) -> BoardError:
    """The exception that an answer with `"status": "error"` stands for."""
    error: Mapping[str, Any] = answer["error"]
    code = str(error["code"])
    kind = CODES.get(code, BoardError)
    return kind(code, str(error["message"]), bool(error["retryable"]), answer.get("id"))
