"""Brokers that are away, refuse, forget; boards that are not there or off."""

from __future__ import annotations

import pathlib
import subprocess
import threading
import time

import pytest
from conftest import Mosquitto, Service, free_port, until, wait_online
from test_board import FIELD, POND

from geosam_edge_client import CannotConnect, Disconnected, NoAnswer, NoSuchBoard, RefusedByBroker, connect


def test_no_broker_there(tmp_path: pathlib.Path) -> None:
    with pytest.raises(CannotConnect, match=r"no broker at 127\.0\.0\.1:\d+: .*refused"):
        connect(port=free_port())
    with pytest.raises(CannotConnect, match=r"no broker at nowhere\.invalid:1883"):
        connect("nowhere.invalid")


def test_no_board_there(tmp_path: pathlib.Path) -> None:
    empty = Mosquitto(tmp_path)
    try:
        with connect(port=empty.port) as broker:
            assert broker.boards() == {}
            with pytest.raises(NoSuchBoard, match="no board is there; or the broker's access list"):
                broker.board()
    finally:
        empty.stop()


def test_a_board_is_found_by_its_name_or_because_it_is_the_only_one(mosquitto: Mosquitto, service: Service) -> None:
    with connect(port=mosquitto.port) as broker:
        assert broker.board().name == "board-7"
        with pytest.raises(NoSuchBoard, match=r"no board is called board-8; there are: board-7 \(online\)") as raised:
            broker.board("board-8")
        assert raised.value.boards == {"board-7": "online"}
        with pytest.raises(NoSuchBoard, match="nobody listens"):
            broker.board("board-8", check=False).segment(points=[POND])


@pytest.mark.parametrize("protocol", ["5", "3.1.1"])
def test_both_versions_of_mqtt(mosquitto: Mosquitto, service: Service, protocol: str) -> None:
    with connect(port=mosquitto.port, protocol=protocol) as broker:
        board = broker.board("board-7")
        assert board.segment(points=[POND]).features and board.preview(points=[POND]) is not None


@pytest.mark.parametrize("protocol", ["5", "3.1.1"])
def test_a_named_client_keeps_its_session(mosquitto: Mosquitto, service: Service, protocol: str) -> None:
    for _ in range(2):
        with connect(port=mosquitto.port, client="survey-" + protocol, protocol=protocol) as broker:
            board = broker.board("board-7")
            assert broker.client == "survey-" + protocol
            board.session("kept").add(points=[POND])
            assert board.list().sessions[0]["session"] == "kept"
            assert board.session("kept").save("kept").feature["properties"]["client"] == "survey-" + protocol


def test_rights_that_are_missing_are_told_at_once(tmp_path: pathlib.Path) -> None:
    access = tmp_path / "acl"
    access.write_text(
        "user board\ntopic readwrite geosam/board-9/#\n"
        "user survey\ntopic read geosam/+/state\ntopic read geosam/board-9/info\ntopic read geosam/board-9/response/survey/+\n"
        "topic write geosam/board-9/request/survey/segment\ntopic write geosam/board-9/request/survey/list\n"
    )
    passwords = tmp_path / "passwords"
    passwords.write_text("board:b\nsurvey:s\n")
    subprocess.run(["mosquitto_passwd", "-U", passwords], check=True)
    strict = Mosquitto(tmp_path, f"acl_file {access}", f"password_file {passwords}", "allow_anonymous false")
    (tmp_path / "word").write_text("b")
    service = Service(tmp_path / "board", strict.port, "board-9", f'username = "board"\npassword_file = "{tmp_path / "word"}"')
    try:
        with pytest.raises(RefusedByBroker, match="does not let .* in: Not authorized"):
            connect(port=strict.port)
        with pytest.raises(RefusedByBroker, match="does not let .* in: Not authorized"):
            connect(port=strict.port, username="survey", password="wrong", protocol="3.1.1")
        login = {"client": "survey", "username": "survey", "password": "s"}
        wait_online(strict.port, "board-9", **login)
        with connect(port=strict.port, **login) as broker:
            board = broker.board("board-9")
            assert board.segment(points=[POND]).features
            begun = time.monotonic()
            with pytest.raises(RefusedByBroker, match="does not take geosam/board-9/request/survey/delete"):
                board.delete("ponds", ["a"])
            assert time.monotonic() - begun < 5
    finally:
        service.stop()
        strict.stop()


def test_what_was_asked_while_board_and_broker_were_away_is_answered(tmp_path: pathlib.Path) -> None:
    # Without persistence: after its restart it has forgotten the session, and what it was given.
    broker = Mosquitto(tmp_path)
    service = Service(tmp_path / "board", broker.port, "board-9")
    try:
        wait_online(broker.port, "board-9")
        with connect(port=broker.port, client="patient") as opened:
            board = opened.board("board-9")
            assert board.segment(points=[POND]).features
            service.stop()
            until("the board to be offline", lambda: board.state == "offline")
            with pytest.raises(NoAnswer, match=r"board-9 has not answered segment in 0\.5 s; it is offline") as raised:
                board.segment(points=[POND], timeout=0.5)
            assert raised.value.request_id.startswith("segment-")
            saved: list[object] = []
            asking = threading.Thread(target=lambda: saved.append(board.save("late", points=[FIELD])))
            asking.start()
            time.sleep(0.3)
            broker.stop()
            with pytest.raises(Disconnected):
                until("the loss", lambda: board.preview(points=[POND], timeout=1) and False)
            broker.start()
            service.start()
            asking.join(60)
            assert len(saved) == 1 and board.fetch("late").total == 1
            assert board.preview(points=[POND]) is not None
    finally:
        service.stop()
        broker.stop()


def test_leaving_tells_those_who_wait(tmp_path: pathlib.Path) -> None:
    broker = Mosquitto(tmp_path)
    service = Service(tmp_path / "board", broker.port, "board-9")
    try:
        wait_online(broker.port, "board-9")
        opened = connect(port=broker.port)
        board = opened.board("board-9")
        service.stop()
        failures: list[Exception] = []

        def ask() -> None:
            try:
                board.segment(points=[POND])
            except Exception as error:
                failures.append(error)

        asking = threading.Thread(target=ask)
        asking.start()
        time.sleep(0.3)
        opened.close()
        asking.join(5)
        assert isinstance(failures[0], Disconnected)
    finally:
        service.stop()
        broker.stop()


def test_tls(tmp_path: pathlib.Path) -> None:
    def openssl(*words: str) -> None:
        subprocess.run(["openssl", *words], cwd=tmp_path, check=True, capture_output=True)

    for authority in ("ca", "other"):
        subject = ["-subj", f"/CN={authority}", "-days", "2", "-nodes", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"]
        openssl("req", "-x509", *subject, "-keyout", f"{authority}.key", "-out", f"{authority}.pem")
    openssl("req", *subject, "-keyout", "broker.key", "-out", "broker.csr")
    (tmp_path / "san").write_text("subjectAltName=IP:127.0.0.1")
    openssl("x509", "-req", "-in", "broker.csr", "-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial", "-days", "2",
            "-extfile", "san", "-out", "broker.pem")  # fmt: skip
    files = [f"{name} {tmp_path / file}" for name, file in [("certfile", "broker.pem"), ("keyfile", "broker.key")]]
    secure = Mosquitto(tmp_path, "allow_anonymous true", *files)
    try:
        with connect(port=secure.port, ca=str(tmp_path / "ca.pem")) as broker:
            assert broker.boards() == {}
        with pytest.raises(CannotConnect, match="certificate verify failed"):
            connect(port=secure.port, ca=str(tmp_path / "other.pem"))
        with pytest.raises(CannotConnect, match="TLS"):
            connect(port=secure.port, timeout=5)
        with pytest.raises(CannotConnect, match=r"nothing\.pem"):
            connect(port=secure.port, ca=str(tmp_path / "nothing.pem"))
    finally:
        secure.stop()
