"""One MQTT connection to a broker, for any number of boards: topics, retained states, answers by their ids.

paho's network thread calls what is named `_on_...`; everything else is called from the caller's threads, and blocks. What is
shared stands under one lock, which is never held while paho is called. Not here: what requests mean (`calls`).
"""

from __future__ import annotations

import json
import logging
import os
import socket
import threading
import time
import uuid
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode

from .errors import CannotConnect, Disconnected, GeosamError, NoAnswer, NoSuchBoard, RefusedByBroker

if TYPE_CHECKING:
    from .calls import Call
    from .prompts import Json

log = logging.getLogger(__name__)

NO_MATCHING_SUBSCRIBERS = 0x10
"""MQTT 5: the broker has taken the message, and nobody listens."""

ENDED = "it ended the connection"
"""In place of a reason."""

QUIET = 0.3
"""Seconds without another retained state after which those that came are taken for all."""


@dataclass(frozen=True, kw_only=True)
class Settings:
    """How to reach a broker.

    Attributes:
        host, port: of the broker.
        client: name of this client: a level of the topics, and its id at the broker, so no two may have one. With a name
            the broker keeps the session, and answers that come meanwhile wait for a day; without one it is a new client.
        username, password: at the broker.
        ca, cert, key: files for TLS: the authority's certificate, and the client's own with its key.
        protocol: version of MQTT.
        timeout: seconds to wait for the connection and for each answer.
        root: first level of the topics.
    """

    host: str = "127.0.0.1"
    port: int = 1883
    client: str | None = None
    username: str | None = None
    password: str | None = None
    ca: str | None = None
    cert: str | None = None
    key: str | None = None
    protocol: Literal["5", "3.1.1"] = "5"
    timeout: float = 60.0
    root: str = "geosam"


@dataclass(eq=False)
class Waiting:
    """A request that has no answer yet.

    Attributes:
        deliver: takes progress, the answer, or why there will be none; called from the network thread.
        mid: the packet that carries it, until the broker has taken it.
    """

    board: str
    call: Call[Any]
    topic: str
    deliver: Callable[[Json | GeosamError], None] = field(repr=False)
    mid: int | None = None


class Connection:
    """One connection; see the module."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.client = settings.client or f"py-{uuid.uuid4().hex[:12]}"
        self._lock = threading.Lock()
        self._changed = threading.Condition(self._lock)
        self._states: dict[str, str] = {}
        self._infos: dict[str, Json] = {}
        self._last_state = 0.0
        self._waiting: dict[tuple[str, str], Waiting] = {}
        self._published: dict[int, Waiting] = {}
        self._refused: dict[int, ReasonCode] = {}
        self._granted: dict[int, str | None] = {}
        self._topics: list[str] = [f"{settings.root}/+/state"]
        self._connected = False
        self._welcome: str | None = None
        self._mqtt = self._make()

    def _make(self) -> mqtt.Client:
        settings = self.settings
        if settings.protocol == "5":
            made = mqtt.Client(CallbackAPIVersion.VERSION2, client_id=self.client, protocol=mqtt.MQTTv5)
        else:
            made = mqtt.Client(
                CallbackAPIVersion.VERSION2,
                client_id=self.client,
                protocol=mqtt.MQTTv311,
                clean_session=settings.client is None,
            )
        if settings.username is not None:
            made.username_pw_set(settings.username, settings.password)
        made.reconnect_delay_set(1, 10)
        made.on_connect = self._on_connect
        made.on_disconnect = self._on_disconnect
        made.on_message = self._on_message
        made.on_publish = self._on_publish
        made.on_subscribe = self._on_subscribe
        made.on_socket_open = _no_delay
        return made

    # What callers call.

    def open(self) -> None:
        """Connects, and asks for the states of all boards.

        Raises:
            CannotConnect, RefusedByBroker
        """
        settings, where = self.settings, f"{self.settings.host}:{self.settings.port}"
        for file in (settings.ca, settings.cert, settings.key):
            # The system does not say which one.
            if file is not None and not os.access(file, os.R_OK):
                raise CannotConnect(f"{file} cannot be read")
        try:
            if settings.ca is not None:
                self._mqtt.tls_set(settings.ca, settings.cert, settings.key)  # pyright: ignore[reportUnknownMemberType]
            if settings.protocol == "5":
                kept = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]
                kept.SessionExpiryInterval = 86_400 if settings.client is not None else 0
                self._mqtt.connect(settings.host, settings.port, clean_start=settings.client is None, properties=kept)
            else:
                self._mqtt.connect(settings.host, settings.port)
        except (OSError, ValueError) as error:
            raise CannotConnect(f"no broker at {where}: {error}") from error
        self._mqtt.loop_start()
        try:
            with self._changed:
                self._changed.wait_for(lambda: self._welcome is not None, settings.timeout)
                welcome = self._welcome
            if welcome in (None, ENDED):
                does = "says nothing" if welcome is None else "ends them"
                raise CannotConnect(f"{where} takes connections and {does}: no MQTT broker, or one that wants TLS")
            if welcome:
                hint = '; try protocol="3.1.1"' if "rotocol" in welcome else ""
                raise RefusedByBroker(f"the broker at {where} does not let {self.client} in: {welcome}{hint}")
            self._subscribe(self._topics)
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Leaves the broker. Who still waits is told."""
        self._mqtt.disconnect()
        self._mqtt.loop_stop()
        with self._lock:
            left = list(self._waiting.values())
            self._waiting.clear()
        for waiting in left:
            waiting.deliver(Disconnected("the connection was closed before the answer came"))

    def boards(self) -> dict[str, str]:
        """Boards that have ever told the broker their state, and their states now: `online`, `offline`."""
        begun = time.monotonic()
        with self._changed:
            while (left := max(begun, self._last_state) + QUIET - time.monotonic()) > 0:
                self._changed.wait(left)
            return dict(self._states)

    def find(self, name: str | None) -> str:
        """The board of this name, or the only one there is; listens to its answers from now on.

        Raises:
            NoSuchBoard, RefusedByBroker
        """
        with self._lock:
            known = name is not None and name in self._states
        if not known:
            boards = self.boards()
            there = ", ".join(f"{board} ({state})" for board, state in sorted(boards.items()))
            hidden = f"; or the broker's access list does not let {self.client} read {self.settings.root}/+/state"
            if name is None and len(boards) == 1:
                name = next(iter(boards))
            elif name is None and boards:
                raise NoSuchBoard(f"there are several boards, name one of them: {there}", boards)
            elif name not in boards:
                called = "no board is there" if name is None else f"no board is called {name}"
                raise NoSuchBoard(called + (f"; there are: {there}" if boards else hidden), boards)
        assert name is not None
        self.listen(name)
        return name

    def listen(self, board: str) -> None:
        """Listens to a board's answers, whether it is there or not.

        Raises:
            RefusedByBroker
        """
        base = f"{self.settings.root}/{board}"
        topics = [f"{base}/response/{self.client}/+", f"{base}/info"]
        with self._lock:
            topics = [topic for topic in topics if topic not in self._topics]
        if topics:
            self._subscribe(topics)
            with self._lock:
                self._topics.extend(topics)

    def state(self, board: str) -> str | None:
        """What the board has last told: `online`, `offline`, or nothing."""
        with self._lock:
            return self._states.get(board)

    def info(self, board: str) -> Json | None:
        """What the board tells of itself: versions, engine, models, bounds. Waits for it a moment."""
        with self._changed:
            self._changed.wait_for(lambda: board in self._infos, timeout=2)
            return self._infos.get(board)

    def send(self, board: str, call: Call[Any], deliver: Callable[[Json | GeosamError], None]) -> Waiting:
        """Publishes a request. With QoS 1 it waits for a connection that is lost; previews do not.

        Raises:
            Disconnected: of a preview.
        """
        topic = f"{self.settings.root}/{board}/request/{self.client}/{call.verb}"
        waiting = Waiting(board, call, topic, deliver)
        with self._lock:
            if call.qos == 0 and not self._connected:
                raise Disconnected(f"the connection to {self.settings.host} is lost, and previews do not wait for it")
            if (board, call.id) in self._waiting:
                raise ValueError(f"the request {call.id} has no answer yet")
            self._waiting[board, call.id] = waiting
        self._publish(waiting)
        return waiting

    def forget(self, waiting: Waiting) -> None:
        """Nobody waits for this any more."""
        with self._lock:
            if self._is_waiting(waiting):
                self._drop(waiting)

    def too_late(self, waiting: Waiting, seconds: float) -> NoAnswer:
        """Why nobody waits any longer."""
        state = self.state(waiting.board)
        with self._lock:
            lost = "" if self._connected else f"; the connection to {self.settings.host} is lost"
        told = f"{waiting.board} has not answered {waiting.call.verb} in {seconds:g} s; it is {state or 'not known'}{lost}"
        return NoAnswer(told, waiting.call.id)

    # Towards paho.

    def _publish(self, waiting: Waiting) -> None:
        sent = self._mqtt.publish(waiting.topic, waiting.call.payload, qos=waiting.call.qos)
        if waiting.call.qos == 0:
            return
        with self._lock:
            # The broker may have been faster than this thread.
            refused = self._refused.pop(sent.mid, None)
            if refused is None and self._is_waiting(waiting):
                self._published[sent.mid] = waiting
                waiting.mid = sent.mid
        if refused is not None:
            self._fail(waiting, refused)

    def _subscribe(self, topics: Iterable[str]) -> None:
        """Waits until the broker has agreed."""
        topics = list(topics)
        code, mid = self._mqtt.subscribe([(topic, 1) for topic in topics])
        if code != mqtt.MQTT_ERR_SUCCESS or mid is None:
            raise Disconnected(f"the connection to {self.settings.host} is lost")
        with self._changed:
            agreed = self._changed.wait_for(lambda: mid in self._granted or not self._connected, self.settings.timeout)
            refused = self._granted.pop(mid, "the connection is lost")
        if not agreed:
            raise CannotConnect(f"the broker at {self.settings.host} has not agreed to {', '.join(topics)}")
        if refused is not None:
            raise RefusedByBroker(f"the broker does not let {self.client} read {', '.join(topics)}: {refused}")

    def _fail(self, waiting: Waiting, reason: ReasonCode) -> None:
        self.forget(waiting)
        if reason.value == NO_MATCHING_SUBSCRIBERS:
            told = f"nobody listens at {waiting.topic}: {waiting.board} has been away for long, or is served otherwise now"
            waiting.deliver(NoSuchBoard(told, self._states_now()))
        else:
            waiting.deliver(RefusedByBroker(f"the broker does not take {waiting.topic} from {self.client}: {reason}"))

    def _is_waiting(self, waiting: Waiting) -> bool:
        return self._waiting.get((waiting.board, waiting.call.id)) is waiting

    def _drop(self, waiting: Waiting) -> None:
        """With the lock held."""
        del self._waiting[waiting.board, waiting.call.id]
        if waiting.mid is not None:
            self._published.pop(waiting.mid, None)

    def _states_now(self) -> dict[str, str]:
        with self._lock:
            return dict(self._states)

    # What the network thread calls. A failure here would end that thread.

    def _on_connect(
        self, client: mqtt.Client, _data: Any, flags: mqtt.ConnectFlags, reason: ReasonCode, _properties: Properties | None
    ) -> None:
        with self._changed:
            again = self._welcome is not None
            self._welcome = str(reason) if reason.is_failure else ""
            self._connected = not reason.is_failure
            self._changed.notify_all()
            waiting = list(self._waiting.values())
            topics = list(self._topics)
        if reason.is_failure:
            if not again:
                client.disconnect()
            return
        if again and not flags.session_present:
            # The broker has forgotten us; answers may be lost. The same request again is never done twice.
            client.subscribe([(topic, 1) for topic in topics])
            for each in waiting:
                if each.call.qos == 1:
                    self._publish(each)

    def _on_disconnect(self, _client: mqtt.Client, _data: Any, _flags: Any, reason: ReasonCode, _properties: Any) -> None:
        with self._changed:
            self._connected = False
            if self._welcome is None:
                self._welcome = ENDED
            self._granted.clear()
            self._changed.notify_all()
            previews = [each for each in self._waiting.values() if each.call.qos == 0]
        for each in previews:
            self.forget(each)
            each.deliver(Disconnected(f"the connection ended ({reason}), and with it the preview"))

    def _on_subscribe(self, _client: mqtt.Client, _data: Any, mid: int, reasons: list[ReasonCode], _properties: Any) -> None:
        with self._changed:
            self._granted[mid] = next((str(reason) for reason in reasons if reason.is_failure), None)
            self._changed.notify_all()

    def _on_publish(self, _client: mqtt.Client, _data: Any, mid: int, reason: ReasonCode, _properties: Any) -> None:
        bad = reason.is_failure or reason.value == NO_MATCHING_SUBSCRIBERS
        with self._lock:
            waiting = self._published.pop(mid, None)
            if bad and waiting is None:
                self._refused[mid] = reason
        if bad and waiting is not None:
            self._fail(waiting, reason)

    def _on_message(self, _client: mqtt.Client, _data: Any, message: mqtt.MQTTMessage) -> None:
        try:
            levels = message.topic[len(self.settings.root) + 1 :].split("/")
            if levels[1] == "state":
                self._hear_state(levels[0], message.payload.decode())
            elif levels[1] == "info":
                self._hear_info(levels[0], json.loads(message.payload) if message.payload else None)
            elif levels[1] == "response":
                self._hear_answer(levels[0], json.loads(message.payload))
        except (ValueError, KeyError, IndexError, TypeError, AttributeError):
            log.warning("what came on %s is none of the contract's messages", message.topic, exc_info=True)

    def _hear_state(self, board: str, state: str) -> None:
        with self._changed:
            self._last_state = time.monotonic()
            if state:
                self._states[board] = state
            else:
                self._states.pop(board, None)
            self._changed.notify_all()

    def _hear_info(self, board: str, info: Json | None) -> None:
        with self._changed:
            if info is None:
                self._infos.pop(board, None)
            else:
                self._infos[board] = info
            self._changed.notify_all()

    def _hear_answer(self, board: str, answer: Json) -> None:
        # One without an id is to a request that could not be read: never one of ours.
        key = (board, str(answer.get("id")))
        with self._lock:
            waiting = self._waiting.get(key)
            if waiting is not None and answer["status"] != "progress":
                self._drop(waiting)
        if waiting is not None:
            waiting.deliver(answer)


def _no_delay(_client: mqtt.Client, _data: Any, opened: Any) -> None:
    """Else answers wait some 40 ms for the acknowledgement of a small packet."""
    if hasattr(opened, "setsockopt"):
        opened.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
