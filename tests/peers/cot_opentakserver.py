#!/usr/bin/env python3
"""Saved objects of a running board on their way to TAK over OpenTAKServer 1.7.14, plain and with TLS, and what that server
makes of them for those who look on, come back, or come later. Usage: cot_opentakserver.py PATH_TO_GEOSAM_EDGE

Installs OpenTAKServer and PyTAK from PyPI in a temporary folder (ENVIRONMENT=FOLDER keeps them there for the next time), and
starts all that they need on 127.0.0.1: RabbitMQ, whose port OpenTAKServer does not let choose, on a loopback address of its own.
Needs Python 3.12 or newer (that version says 3.10, but its main program has a syntax error there), root (PostgreSQL runs as
nobody), openssl, and from Debian 12:

    apt-get install --no-install-recommends rabbitmq-server postgresql-15 postgresql-15-postgis-3 mosquitto mosquitto-clients
"""

import asyncio
import base64
import configparser
import contextlib
import datetime
import functools
import json
import logging
import os
import pathlib
import pwd
import random
import signal
import socket
import ssl
import subprocess
import sys
import tempfile
import threading
import time
import traceback
import urllib.request
import xml.etree.ElementTree

import tak
from tak import free_port, is_drawn, lasts, listens

COMMAND = pathlib.Path(sys.argv[1]).resolve()
ROOT = pathlib.Path(__file__).resolve().parents[2]
PACKAGES = ["opentakserver==1.7.14", "pytak==7.6.1"]
DATABASE = pathlib.Path("/usr/lib/postgresql/15/bin")
INTERVAL = 10
# Seconds. Much on a busy machine, where RabbitMQ alone may take minutes to begin.
PATIENCE = 900
until = functools.partial(tak.until, patience=PATIENCE)
POND, FIELD = [9.17211953, 47.65281208], [9.16840263, 47.6543877]
OTHER_POND, WOOD = [9.1667325, 47.65265808], [9.1626812, 47.6538156]
OWN = ("geosam-edge-board-7", "Träger 7")


@contextlib.contextmanager
def running(*words, log, **more):
    """A program with its children, which end with it."""
    with open(log, "ab") as out:
        process = subprocess.Popen([str(word) for word in words], stdout=out, stderr=out, start_new_session=True, **more)
    try:
        yield process
    finally:
        process.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(30)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def rabbitmq(folder):
    """A RabbitMQ of our own; gives the address on which it has its usual port."""
    address = next(address for address in iter(lambda: f"127.{random.randint(1, 254)}.{random.randint(0, 255)}.1", None)
                   if not listens(5672, address))
    folder.mkdir()
    (folder / "plugins").write_text("[].")
    (folder / "rabbitmq.conf").write_text(f"listeners.tcp.1 = {address}:5672\ndistribution.listener.interface = 127.0.0.1\n")
    settings = {
        "ERL_EPMD_PORT": free_port(), "ERL_EPMD_ADDRESS": "127.0.0.1", "RABBITMQ_NODENAME": "peer@localhost",
        "RABBITMQ_DIST_PORT": free_port(), "RABBITMQ_MNESIA_BASE": folder / "mnesia", "RABBITMQ_LOG_BASE": folder,
        "RABBITMQ_ENABLED_PLUGINS_FILE": folder / "plugins", "RABBITMQ_CONFIG_FILE": folder / "rabbitmq",
        "RABBITMQ_CONF_ENV_FILE": folder / "absent", "HOME": folder,
        "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": "+S 1:1 +sbwt none +sbwtdcpu none +sbwtdio none",
    }
    environment = os.environ | {name: str(value) for name, value in settings.items()}

    @contextlib.contextmanager
    def both():
        with running("epmd", log=folder / "log", env=environment):
            with running("/usr/lib/rabbitmq/bin/rabbitmq-server", log=folder / "log", env=environment):
                until("RabbitMQ", lambda: listens(5672, address))
                yield address
    return both()


@contextlib.contextmanager
def postgresql(folder):
    """A PostgreSQL with PostGIS of our own; gives its database's address."""
    nobody, port = pwd.getpwnam("nobody"), free_port()
    folder.mkdir()
    os.chown(folder, nobody.pw_uid, nobody.pw_gid)
    whose = {"user": nobody.pw_uid, "group": nobody.pw_gid, "extra_groups": [], "cwd": folder}
    subprocess.run([DATABASE / "initdb", "-D", folder / "data", "-A", "trust", "-U", "ots", "-N"], check=True, capture_output=True,
                   **whose)
    options = ["-c", "listen_addresses=127.0.0.1", "-c", f"unix_socket_directories={folder}", "-c", "fsync=off"]
    with running(DATABASE / "postgres", "-D", folder / "data", "-p", port, *options, log=folder / "log", **whose):
        until("PostgreSQL", lambda: subprocess.run([DATABASE / "pg_isready", "-h", "127.0.0.1", "-p", str(port)],
                                                   capture_output=True).returncode == 0)
        for statement, database in [("create database ots", "postgres"), ("create extension postgis", "ots")]:
            subprocess.run([DATABASE / "psql", "-q", "-h", "127.0.0.1", "-p", str(port), "-U", "ots", "-c", statement, database],
                           check=True)
        yield f"postgresql+psycopg://ots@127.0.0.1:{port}/ots"


class OpenTAKServer:
    """The server's four programs: one for its web interface, one that sorts events, one for plain and one for TLS clients."""

    def __init__(self, programs, folder, rabbit, database):
        self.programs, self.folder = programs, folder
        self.web, self.plain, self.secret = free_port(), free_port(), free_port()
        folder.mkdir()
        settings = {
            "OTS_DATA_FOLDER": folder, "HOME": folder, "OTS_RABBITMQ_SERVER_ADDRESS": rabbit, "SQLALCHEMY_DATABASE_URI": database,
            "OTS_LISTENER_PORT": self.web, "OTS_TCP_STREAMING_PORT": self.plain, "OTS_SSL_STREAMING_PORT": self.secret,
            "OTS_STREAMING_INTERFACE": "127.0.0.1", "OTS_MEDIAMTX_ENABLE": "false",
        }
        self.environment = os.environ | {name: str(value) for name, value in settings.items()}
        self.processes = contextlib.ExitStack()

    def start(self):
        def program(name, *words):
            log = self.folder / f"{'-'.join([name, *words])}.log"
            return self.processes.enter_context(running(self.programs / name, *words, log=log, env=self.environment,
                                                        cwd=self.folder))
        program("opentakserver")
        until("OpenTAKServer's web interface", lambda: listens(self.web))
        program("cot_parser")
        program("eud_handler")
        program("eud_handler", "--ssl")
        for port in [self.plain, self.secret]:
            until("OpenTAKServer's port", lambda port=port: listens(port))
        login = json.dumps({"username": "administrator", "password": "password"}).encode()
        headers = {"Content-Type": "application/json", "Accept": "application/json"}
        answer = self.ask("/api/login?include_auth_token", login, **headers)
        self.token = answer["response"]["user"]["authentication_token"]

    def stop(self):
        self.processes.close()

    def ask(self, path, data=None, **headers):
        request = urllib.request.Request(f"http://127.0.0.1:{self.web}{path}", data=data, headers=headers)
        with urllib.request.urlopen(request, timeout=PATIENCE) as answer:
            return json.load(answer)

    def devices(self):
        """Everything that the server takes for a device: uid and callsign."""
        devices = self.ask("/api/eud?all=1", **{"Authentication-Token": self.token})
        return [(device["uid"], device["callsign"]) for device in devices]


def presence(uid, callsign):
    now = datetime.datetime.now(datetime.timezone.utc)
    begin, end = (at.strftime("%Y-%m-%dT%H:%M:%S.000Z") for at in [now, now + datetime.timedelta(minutes=10)])
    return (f'<event version="2.0" uid="{uid}" type="a-f-G-U-C" how="m-g" time="{begin}" start="{begin}" stale="{end}">'
            f'<point lat="47.65" lon="9.17" hae="0" ce="9999999.0" le="9999999.0"/><detail><takv device="x" platform="x" os="x" '
            f'version="1"/><contact callsign="{callsign}" endpoint="*:-1:stcp"/><__group name="Cyan" role="Team Member"/></detail>'
            "</event>").encode()


def ping(uid):
    return presence(uid + "-ping", "").replace(b"a-f-G-U-C", b"t-x-c-t").replace(b"<contact", b"<none")


class Heard:
    """What a client of the server has heard, with the time."""

    def __init__(self, uid):
        self.uid, self.events = uid, []

    def hear(self, text):
        self.events.append((time.monotonic(), xml.etree.ElementTree.fromstring(text)))

    def times(self, uid, after=0):
        return [at for at, event in list(self.events) if (event.get("uid"), event.get("type")) == (uid, "u-d-f") and at > after]

    def shapes(self, uid):
        return [event for _, event in self.events if (event.get("uid"), event.get("type")) == (uid, "u-d-f")]

    def shape(self, uid):
        return until(f"{uid} at {self.uid}", lambda: self.shapes(uid))[-1]

    def deletions(self, uid):
        links = [(at, event.find("detail/link")) for at, event in self.events if event.get("type") == "t-x-d-d"]
        return [at for at, link in links if link is not None and link.get("uid") == uid]


class Client(Heard):
    """A client by a plain or a TLS socket, which says who it is once the server has taken it in."""

    def __init__(self, server, uid, keys=None, callsign=None, is_listed=True):
        super().__init__(uid)
        self.socket = socket.create_connection(("127.0.0.1", server.secret if keys else server.plain))
        if keys:
            context = ssl.create_default_context(cafile=keys.ca)
            context.load_cert_chain(keys.certificate, keys.key)
            self.socket = context.wrap_socket(self.socket, server_hostname="opentakserver")
        threading.Thread(target=self.listen, daemon=True).start()
        # What is sent before the server has a queue for this client at RabbitMQ makes it one that is never told anything.
        self.socket.sendall(ping(uid))
        until(f"the server's answer to {uid}", lambda: self.events)
        time.sleep(3)
        self.socket.sendall(presence(uid, callsign or f"callsign of {uid}"))
        if is_listed:
            until(f"{uid} in the server's list", lambda: any(uid == at for at, _ in server.devices()))

    def listen(self):
        stream = b""
        with contextlib.suppress(OSError):
            while part := self.socket.recv(65536):
                *whole, stream = (stream + part).split(b"</event>")
                for event in whole:
                    self.hear(event.strip() + b"</event>")

    def close(self):
        self.socket.shutdown(socket.SHUT_RDWR)
        self.socket.close()


class PyTAK(Heard):
    """PyTAK, in a thread of its own. Its own hello says nothing of who it is."""

    def __init__(self, server, uid):
        super().__init__(uid)
        parser = configparser.ConfigParser()
        parser["looker"] = {"COT_URL": f"tcp://127.0.0.1:{server.plain}", "COT_HOST_ID": uid}
        self.config = parser["looker"]
        threading.Thread(target=lambda: asyncio.run(self.look()), daemon=True).start()
        until(f"{uid} in the server's list", lambda: any(uid == at for at, _ in server.devices()))

    async def look(self):
        import pytak
        logging.disable(logging.CRITICAL)
        outer = self

        class Ears(pytak.QueueWorker):
            async def handle_data(self, data):
                pass

            async def run(self, _=-1):
                while True:
                    outer.hear(await self.queue.get())

        tool = pytak.CLITool(self.config)
        await tool.setup()
        tool.add_tasks({Ears(tool.rx_queue, self.config)})

        async def introduce():
            await tool.tx_queue.put(ping(self.uid))
            while not self.events:
                await asyncio.sleep(0.1)
            await asyncio.sleep(3)
            await tool.tx_queue.put(presence(self.uid, f"callsign of {self.uid}"))
        introduction = asyncio.ensure_future(introduce())
        try:
            await tool.run()
        finally:
            introduction.cancel()


class Keys:
    """A key, and what the server signed for a user, as ATAK asks for it when it enrols."""

    def __init__(self, server, folder, user, password):
        self.key, self.certificate, self.ca = (folder / f"{user}{end}" for end in [".key", ".pem", "-ca.pem"])
        request = folder / f"{user}.csr"
        subprocess.run(["openssl", "req", "-new", "-newkey", "rsa:2048", "-nodes", "-keyout", self.key, "-out", request, "-subj",
                        f"/O=ZZ/OU=OpenTAKServer/CN={user}"], check=True, capture_output=True)
        body = "\n".join(line for line in request.read_text().splitlines() if "-----" not in line)
        basic = base64.b64encode(f"{user}:{password}".encode()).decode()
        headers = {"Authorization": f"Basic {basic}", "Accept": "text/plain", "Content-Type": "application/pkcs10"}
        answer = server.ask("/Marti/api/tls/signClient/v2", body.encode(), **headers)
        for path, name in [(self.certificate, "signedCert"), (self.ca, "ca0")]:
            path.write_text(f"-----BEGIN CERTIFICATE-----\n{answer[name].strip()}\n-----END CERTIFICATE-----\n")


class Board:
    """`serve` on the demo folder, with a broker of its own."""

    def __init__(self, folder):
        self.folder, self.broker, self.count = folder, free_port(), 0
        self.process = contextlib.ExitStack()

    def start(self, cot):
        (self.folder / "edge.toml").write_text(
            f'device = "board-7"\nfeatures = ["{ROOT}/models/demo/features"]\nmodels = "{ROOT}/models/demo/models"\n'
            f'state = "{self.folder}/state"\n[broker]\nurl = "mqtt://localhost:{self.broker}"\n'
            f'[cot]\ninterval_s = {INTERVAL}\ncallsign = "Träger 7"\n{cot}')
        log = self.folder / "log"
        log.write_text("")
        self.process.enter_context(running(COMMAND, "serve", "--config", self.folder / "edge.toml", "--engine", "fused", log=log))
        until("the board", lambda: "connected to the broker" in log.read_text())

    def stop(self):
        self.process.close()

    def ask(self, verb, **request):
        self.count += 1
        topic = "geosam/board-7/{}/peer/" + verb
        words = ["mosquitto_rr", "-p", self.broker, "-V", "mqttv5", "-q", "1", "-W", PATIENCE, "-t", topic.format("request"),
                 "-e", topic.format("response"), "-m", json.dumps({"id": str(self.count)} | request)]
        answer = json.loads(subprocess.run([str(word) for word in words], capture_output=True, check=True).stdout)
        assert answer["status"] == "ok", answer
        return answer

    def save(self, layer, place, **more):
        return self.ask("save", layer=layer, points=[place], **more)["saved"]["feature"]


def checks(server, board, folder):
    def check(what):
        print("ok   ", what, flush=True)
        check.passed += 1
    check.passed = 0
    pytak, watcher = PyTAK(server, "peer-pytak"), Client(server, "peer-watcher")
    away = [Client(server, f"peer-away-{number}") for number in range(3)]
    plain = f'targets = ["tcp://127.0.0.1:{server.plain}"]\n'
    board.start(plain)
    until("the board in the server's list", lambda: OWN in server.devices())
    check(f"the board is listed as a device, {OWN[0]}, under its callsign, {OWN[1]}")

    pond, field = board.save("ponds", POND), board.save("fields", FIELD)
    vertices = [is_drawn(looker.shape(feature["id"]), feature) for feature in [pond, field] for looker in [pytak, watcher]]
    check(f"two saved objects of {vertices[0]} and {vertices[2]} vertices arrive whole, at PyTAK and at a plain socket")

    for client in away:
        until("both objects there", lambda client=client: client.shapes(pond["id"]) and client.shapes(field["id"]))
        client.close()
    time.sleep(5)
    other = board.save("ponds", OTHER_POND, session="s")
    is_drawn(watcher.shape(other["id"]), other)
    board.stop()
    time.sleep(2)
    everything = [pond, field, other]
    back = [Client(server, client.uid) for client in away]
    new = Client(server, f"peer-new-{random.randrange(10 ** 6)}")
    time.sleep(5)
    assert not any(new.shapes(feature["id"]) for feature in everything), "handed to one that the server did not know"
    handed = sum(bool(client.shapes(other["id"])) for client in back)
    check("with the board off: who comes new is handed nothing; "
          f"of three that had been there, {handed} what was saved while they were away")

    board.start(plain)
    for client in [*back, new]:
        for feature in everything:
            is_drawn(client.shape(feature["id"]), feature)
    check("the board is back: all of them have every object, with every vertex")

    # Somebody who comes between two rounds hears of nothing until the next one.
    for attempt in range(10):
        seen = len(watcher.times(other["id"]))
        until("a round", lambda seen=seen: len(watcher.times(other["id"])) > seen)
        late = Client(server, f"peer-late-{random.randrange(10 ** 6)}")
        came = time.monotonic()
        until("everything", lambda late=late: all(late.shapes(feature["id"]) for feature in everything))
        first = min(late.times(feature["id"])[0] for feature in everything)
        if first - came > 1:
            break
    else:
        raise AssertionError("each time something came at once")
    for feature in everything:
        is_drawn(late.shape(feature["id"]), feature)
    last = max(late.times(feature["id"])[0] for feature in everything)
    check(f"who comes new hears of nothing for {first - came:.1f} s, then of every object within {last - first:.1f} s: "
          f"the round of {INTERVAL} s")

    board.ask("unsave", session="s", layer="ponds")
    for looker in [pytak, watcher, late]:
        gone = until(f"that {other['id']} is gone", lambda looker=looker: looker.deletions(other["id"]))[0]
        last = looker.shapes(other["id"])[-1]
        assert lasts(last) < 3 < lasts(looker.shapes(pond["id"])[-1]), "the shape's last event has a short life"
        assert looker.times(other["id"])[-1] < gone
    time.sleep(2 * INTERVAL)
    assert lasts(watcher.shapes(other["id"])[-1]) < 3, "and is not drawn again"
    check(f"unsave: the shape for {lasts(last):.0f} s more, then t-x-d-d, at three clients; "
          "it does not come back in the next rounds")

    # A callsign is one device's alone, also when that device is gone.
    name = f"peer-first-{random.randrange(10 ** 6)}"
    Client(server, name, callsign=name).close()
    second = Client(server, "peer-second", callsign=name, is_listed=False)
    time.sleep(10)
    for sender in [second, watcher]:
        sender.socket.sendall(presence(f"peer-event-of-{sender.uid}", "x").replace(b"a-f-G-U-C", b"u-d-f"))
        time.sleep(5)
    pytak.shape(f"peer-event-of-{watcher.uid}")
    assert not pytak.shapes(f"peer-event-of-{second.uid}")
    assert second.uid not in [uid for uid, _ in server.devices()]
    check("a device with the callsign of another, which is gone: OpenTAKServer neither lists it nor passes on what it sends")

    server.stop()
    until("the board tells that a server is away", lambda: "is not sent what is saved" in (folder / "log").read_text())
    wood = board.save("woods", WOOD)
    server.start()
    everything = [pond, field, wood]
    pytak, watcher = PyTAK(server, "peer-pytak-2"), Client(server, "peer-watcher-2")
    for looker in [pytak, watcher]:
        for feature in everything:
            is_drawn(looker.shape(feature["id"]), feature)
    check("OpenTAKServer was restarted: every object comes again, also the one that was saved meanwhile")

    board.stop()
    keys = Keys(server, folder, "administrator", "password")
    secret = Client(server, "peer-secret", keys)
    board.start(f'targets = ["tls://localhost:{server.secret}"]\nca = "{keys.ca}"\ncert = "{keys.certificate}"\n'
                f'key = "{keys.key}"\ncheck_name = false\n')
    for looker in [secret, watcher]:
        begin = time.monotonic()
        for feature in everything:
            until("again", lambda looker=looker, feature=feature: looker.times(feature["id"], after=begin))
            is_drawn(looker.shape(feature["id"]), feature)
    again = board.save("fields", OTHER_POND)
    for looker in [secret, watcher]:
        is_drawn(looker.shape(again["id"]), again)
    check("over TLS with a certificate that OpenTAKServer signed: every object, at a TLS and at a plain client, "
          "and one that is new")

    devices = server.devices()
    assert OWN in devices and all(uid == OWN[0] or uid.startswith("peer-") for uid, _ in devices), devices
    check("the board is still listed, and no object is")
    return check.passed


def main():
    with contextlib.ExitStack() as stack:
        folder = pathlib.Path(stack.enter_context(tempfile.TemporaryDirectory()))
        # PostgreSQL, as nobody, has a folder of its own in it.
        folder.chmod(0o755)
        if "INSTALLED" not in os.environ:
            assert sys.version_info >= (3, 12), "OpenTAKServer 1.7.14 needs Python 3.12"
            environment = pathlib.Path(os.environ.get("ENVIRONMENT", folder / "environment"))
            if not (environment / "bin/opentakserver").exists():
                subprocess.run([sys.executable, "-m", "venv", environment], check=True)
                subprocess.run([environment / "bin/pip", "install", "-q", "--disable-pip-version-check", *PACKAGES], check=True)
            words = [environment / "bin/python", __file__, COMMAND]
            return subprocess.run(words, env=os.environ | {"INSTALLED": "yes"}).returncode
        rabbit = stack.enter_context(rabbitmq(folder / "rabbitmq"))
        database = stack.enter_context(postgresql(folder / "postgresql"))
        server = OpenTAKServer(pathlib.Path(sys.executable).parent, folder / "opentakserver", rabbit, database)
        stack.callback(server.stop)
        server.start()
        board = Board(folder)
        (folder / "mosquitto.conf").write_text(f"listener {board.broker} 127.0.0.1\nallow_anonymous true\n")
        stack.enter_context(running("mosquitto", "-c", folder / "mosquitto.conf", log=folder / "mosquitto.log"))
        until("mosquitto", lambda: listens(board.broker))
        stack.callback(board.stop)
        try:
            print(f"{checks(server, board, folder)} passed, 0 failed")
        except Exception:
            traceback.print_exc()
            print("FAILED", traceback.format_exc().strip().splitlines()[-1])
            return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
