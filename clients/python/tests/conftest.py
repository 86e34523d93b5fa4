"""What the tests talk to: a stock mosquitto, and boards that serve the demo card, each a process of its own.

`GEOSAM_EDGE` names the program; by default it is the repository's debug build.
"""

from __future__ import annotations

import json
import os
import pathlib
import shutil
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import shapely

from geosam_edge_client import Board, Broker, connect

ROOT = pathlib.Path(__file__).resolve().parents[3]
PROGRAM = os.environ.get("GEOSAM_EDGE", str(ROOT / "target/debug/geosam-edge"))
DEMO = ROOT / "models/demo"
MOSQUITTO = shutil.which("mosquitto") or "/usr/sbin/mosquitto"
PATIENCE = 60.0


def until(what: str, look: Callable[[], Any], patience: float = PATIENCE) -> Any:
    """Waits until something is so, and returns it."""
    begun = time.monotonic()
    while not (seen := look()):
        assert time.monotonic() - begun < patience, f"waited in vain for {what}"
        time.sleep(0.03)
    return seen


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Mosquitto:
    """A broker; the same port again after a restart."""

    def __init__(self, folder: pathlib.Path, *lines: str) -> None:
        self.folder, self.port = folder, free_port()
        text = [f"listener {self.port} 127.0.0.1", *(lines or ("allow_anonymous true",))]
        if os.getuid() == 0:
            text.insert(0, "user root")
        (folder / "mosquitto.conf").write_text("\n".join(text) + "\n")
        self.start()

    def start(self) -> None:
        log = (self.folder / "mosquitto.log").open("ab")
        self.process = subprocess.Popen([MOSQUITTO, "-c", str(self.folder / "mosquitto.conf")], stdout=log, stderr=log)
        until("mosquitto", lambda: socket.socket().connect_ex(("127.0.0.1", self.port)) == 0)

    def stop(self) -> None:
        self.process.terminate()
        self.process.wait(10)


class Service:
    """A board that serves the demo card."""

    def __init__(self, folder: pathlib.Path, port: int, device: str, broker: str = "") -> None:
        self.folder, self.device = folder, device
        folder.mkdir(exist_ok=True)
        (folder / "edge.toml").write_text(
            f'device = "{device}"\nfeatures = ["{DEMO / "features"}"]\nmodels = "{DEMO / "models"}"\n'
            f'state = "{folder / "state"}"\n'
            f'[broker]\nurl = "mqtt://127.0.0.1:{port}"\n{broker}\n[decoder]\nengine = "fused"\n'
        )
        self.start()

    def start(self) -> None:
        log = (self.folder / "log").open("ab")
        command = [PROGRAM, "serve", "--config", str(self.folder / "edge.toml")]
        self.process = subprocess.Popen(command, stdout=log, stderr=log)

    def stop(self) -> None:
        self.process.terminate()
        self.process.wait(20)

    def log(self) -> str:
        return (self.folder / "log").read_text()


def wait_online(port: int, device: str, **login: str) -> None:
    with connect(port=port, **login) as broker:
        until(f"{device} to be online", lambda: broker.boards().get(device) == "online")
        board = broker.board(device)
        # Its folders are looked at in the background.
        until("the folder", lambda: any(folder["ready"] for folder in board.list().folders))


@pytest.fixture(scope="session")
def mosquitto(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mosquitto]:
    broker = Mosquitto(tmp_path_factory.mktemp("broker"))
    yield broker
    broker.stop()


@pytest.fixture(scope="session")
def service(mosquitto: Mosquitto, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    running = Service(tmp_path_factory.mktemp("board"), mosquitto.port, "board-7")
    wait_online(mosquitto.port, "board-7")
    yield running
    running.stop()


@pytest.fixture
def broker(mosquitto: Mosquitto, service: Service) -> Iterator[Broker]:
    with connect(port=mosquitto.port, timeout=PATIENCE) as opened:
        yield opened


@pytest.fixture
def board(broker: Broker) -> Board:
    return broker.board("board-7")


@pytest.fixture(scope="session")
def truth() -> Callable[[str], list[dict[str, Any]]]:
    """Objects of a kind in the demo scene that its border does not cut, with a point inside each."""
    collection = json.loads((DEMO / "truth.geojson").read_text())
    scene = shapely.box(9.1600, 47.6485, 9.1732, 47.6551)
    whole = [feature for feature in collection["features"] if scene.contains(shapely.geometry.shape(feature["geometry"]))]
    return lambda kind: [feature for feature in whole if feature["properties"]["kind"] == kind]
