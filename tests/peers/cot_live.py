#!/usr/bin/env python3
"""Saved objects of a running board on their way to TAK, live, with the servers and clients that others use: taky as the
server, plain and with TLS, PyTAK as the one who looks on, over taky, over MQTT and over UDP, and who sets a marker. Needs mosquitto with its
clients, openssl, and from PyPI taky, pytak, aiomqtt and lxml. Usage: cot_live.py PATH_TO_GEOSAM_EDGE
"""

import asyncio
import configparser
import contextlib
import datetime
import functools
import json
import logging
import pathlib
import socket
import subprocess
import sys
import tempfile
import threading
import time

import pytak
import tak
from lxml import etree
from tak import free_port, is_drawn, lasts, listens

COMMAND = pathlib.Path(sys.argv[1]).resolve()
ROOT = pathlib.Path(__file__).resolve().parents[2]
TAKY = pathlib.Path(sys.executable).with_name("taky")
GROUP = "239.2.3.1"
PATIENCE = 40
until = functools.partial(tak.until, patience=PATIENCE)
# PyTAK tells each event, and when its server goes, as this script has it do.
logging.disable(logging.CRITICAL)
threading.excepthook = lambda failed: None
POND, BUILDING = [9.17211953, 47.65281208], [9.16840263, 47.6543877]


@contextlib.contextmanager
def running(*words, log):
    with open(log, "ab") as out:
        process = subprocess.Popen([str(word) for word in words], stdout=out, stderr=out)
    try:
        yield process
    finally:
        process.terminate()
        process.wait(10)


class Ears(pytak.QueueWorker):
    """Takes what PyTAK has received."""

    def __init__(self, queue, config, heard):
        super().__init__(queue, config)
        self.heard = heard

    async def handle_data(self, data):
        pass

    async def run(self, _=-1):
        while True:
            event = await self.queue.get()
            self.heard.append((time.monotonic(), etree.fromstring(event)))


class Looker:
    """A PyTAK client, which looks on from a thread of its own."""

    def __init__(self, url, **settings):
        parser = configparser.ConfigParser()
        parser["looker"] = {"COT_URL": url, "COT_HOST_ID": f"looker-{id(self)}", "MQTT_CLIENT_ID": f"looker-{id(self)}",
                            **settings}
        self.config, self.heard = parser["looker"], []
        threading.Thread(target=lambda: asyncio.run(self.look()), daemon=True).start()

    async def look(self):
        self.tool, self.loop = pytak.CLITool(self.config), asyncio.get_running_loop()
        await self.tool.setup()
        self.tool.add_tasks({Ears(self.tool.rx_queue, self.config, self.heard)})
        await self.tool.run()

    def set_marker(self, uid, position, callsign):
        """Sends a marker as ATAK does when somebody sets one."""
        now = datetime.datetime.now(datetime.timezone.utc)
        begin, end = (time.strftime("%Y-%m-%dT%H:%M:%S.000Z") for time in [now, now + datetime.timedelta(hours=1)])
        event = etree.Element("event", version="2.0", uid=uid, type="a-u-G", how="h-g-i-g-o", time=begin, start=begin, stale=end)
        lon, lat = map(str, position)
        etree.SubElement(event, "point", lat=lat, lon=lon, hae="490.1", ce="9999999.0", le="9999999.0")
        detail = etree.SubElement(event, "detail")
        etree.SubElement(detail, "status", readiness="true")
        etree.SubElement(detail, "contact", callsign=callsign)
        asyncio.run_coroutine_threadsafe(self.tool.tx_queue.put(etree.tostring(event)), self.loop).result(PATIENCE)

    def of(self, uid, kind=None):
        return [event for _, event in self.heard if event.get("uid") == uid and kind in (None, event.get("type"))]

    def shape(self, uid):
        return until(f"{uid} at {self.config['COT_URL']}", lambda: self.of(uid, "u-d-f"))[-1]

    def deletion(self, uid):
        def found():
            links = [event.find("detail/link") for _, event in self.heard if event.get("type") == "t-x-d-d"]
            return [link for link in links if link is not None and link.get("uid") == uid]
        return until(f"that {uid} is gone at {self.config['COT_URL']}", found)[0]


def taky(folder, port, ssl=""):
    folder.mkdir(exist_ok=True)
    (folder / "taky.conf").write_text(
        f"[taky]\nhostname=localhost\nbind_ip=127.0.0.1\nroot_dir={folder}\nredis=false\n"
        f"[cot_server]\nport={port}\n[dp_server]\nupload_path={folder}/dp\n{ssl}"
    )
    return running(TAKY, "-c", folder / "taky.conf", "-l", "debug", log=folder / "log")


def ask(port, verb, **request):
    topic = "geosam/board-7/{}/peer/" + verb
    words = ["mosquitto_rr", "-p", port, "-V", "mqttv5", "-q", "1", "-W", PATIENCE, "-t", topic.format("request"),
             "-e", topic.format("response"), "-m", json.dumps(request)]
    answer = json.loads(subprocess.run([str(word) for word in words], capture_output=True, check=True).stdout)
    assert answer["status"] == "ok", answer
    return answer


def main():
    with contextlib.ExitStack() as stack:
        folder = pathlib.Path(stack.enter_context(tempfile.TemporaryDirectory()))
        certificates = ROOT / "packaging/mosquitto/certificates.sh"
        keys = folder / "keys"
        keys.mkdir()
        for words in [["authority"], ["broker", "localhost"], ["user", "board-7"], ["user", "looker"]]:
            subprocess.run([certificates, *words], cwd=keys, check=True, capture_output=True)
        broker, plain, secret, datagrams = free_port(), free_port(), free_port(), free_port(socket.SOCK_DGRAM)
        (folder / "mosquitto.conf").write_text(f"listener {broker} 127.0.0.1\nallow_anonymous true\n")
        stack.enter_context(running("mosquitto", "-c", folder / "mosquitto.conf", log=folder / "mosquitto.log"))
        first = stack.enter_context(contextlib.ExitStack())
        first.enter_context(taky(folder / "plain", plain))
        ssl = (f"[ssl]\nenabled=true\nclient_cert_required=true\nca={keys}/ca.pem\ncert={keys}/broker.pem\n"
               f"key={keys}/broker.key\ncert_db={keys}/db.txt\n")
        stack.enter_context(taky(folder / "secret", secret, ssl))
        for port in [broker, plain, secret]:
            until(f"port {port}", lambda port=port: listens(port))
        (folder / "edge.toml").write_text(
            f'device = "board-7"\nfeatures = ["{ROOT}/models/demo/features"]\nmodels = "{ROOT}/models/demo/models"\n'
            f'state = "{folder}/state"\n[broker]\nurl = "mqtt://localhost:{broker}"\n[cot]\ninterval_s = 10\n'
            f'targets = ["tcp://localhost:{plain}", "tls://localhost:{secret}", "udp://{GROUP}:{datagrams}", "mqtt:cot"]\n'
            f'multicast_interface = "127.0.0.1"\ncallsign = "Träger <7>"\nmarker_layer = "marked"\n'
            f'ca = "{keys}/ca.pem"\ncert = "{keys}/board-7.pem"\nkey = "{keys}/board-7.key"\n'
        )
        tls = {"PYTAK_TLS_CLIENT_CERT": f"{keys}/looker.pem", "PYTAK_TLS_CLIENT_KEY": f"{keys}/looker.key",
               "PYTAK_TLS_CLIENT_CAFILE": f"{keys}/ca.pem"}
        lookers = {
            "tcp": Looker(f"tcp://localhost:{plain}"),
            "tls": Looker(f"tls://localhost:{secret}", **tls),
            "udp": Looker(f"udp+ro://{GROUP}:{datagrams}", PYTAK_MULTICAST_LOCAL_ADDR="127.0.0.1"),
            "mqtt": Looker(f"mqtt+ro://localhost:{broker}/geosam/board-7/cot/+"),
        }
        time.sleep(3)
        serve = ["serve", "--config", folder / "edge.toml", "--engine", "fused"]
        board = contextlib.ExitStack()
        stack.push(board)
        board.enter_context(running(COMMAND, *serve, log=folder / "log"))
        until("the board", lambda: "connected to the broker" in (folder / "log").read_text())

        pond = ask(broker, "save", id="1", layer="ponds", points=[POND])["saved"]
        saved = time.monotonic()
        took = {}
        for name, looker in lookers.items():
            is_drawn(looker.shape(pond["id"]), pond["feature"])
            took[name] = next(at for at, event in looker.heard if event.get("uid") == pond["id"]) - saved
            presence = looker.of("geosam-edge-board-7")[0]
            assert presence.find("detail/contact").get("callsign") == "Träger <7>", etree.tostring(presence)
        assert all(seconds < 5 for seconds in took.values()), f"seen with the next event only: {took}"
        print("saved, and seen after", ", ".join(f"{name} {seconds:.2f} s" for name, seconds in took.items()))

        # Who comes later sees it too.
        late = Looker(f"tcp://localhost:{plain}")
        is_drawn(late.shape(pond["id"]), pond["feature"])
        late = Looker(f"mqtt+ro://localhost:{broker}/geosam/board-7/cot/+")
        is_drawn(late.shape(pond["id"]), pond["feature"])

        # A server that has forgotten all is told all.
        first.close()
        until("the board tells that a server is away", lambda: "is not sent what is saved" in (folder / "log").read_text())
        first.enter_context(taky(folder / "plain", plain))
        until("taky again", lambda: listens(plain))
        looker = Looker(f"tcp://localhost:{plain}")
        is_drawn(looker.shape(pond["id"]), pond["feature"])
        lookers["tcp"] = looker

        building = ask(broker, "save", id="2", layer="buildings", points=[BUILDING])["saved"]
        for looker in lookers.values():
            is_drawn(looker.shape(building["id"]), building["feature"])
        ask(broker, "update", id="3", layer="buildings", ids=[building["id"]], to_layer="houses")
        for looker in lookers.values():
            until("in its new layer", lambda l=looker: l.of(building["id"])[-1].findtext("detail/remarks").startswith("layer houses"))

        # A marker that somebody sets is answered by the shape of what is under it.
        marked = folder / "state/layers/marked.geojsonl"
        lookers["tcp"].set_marker("set-by-hand", POND, "Teich ü")
        until("the object under a marker", lambda: marked.exists() and marked.read_text().endswith("\n"))
        [feature] = map(json.loads, marked.read_text().splitlines())
        properties = feature["properties"]
        assert [properties[f"tak_{name}"] for name in ["uid", "callsign", "type"]] == ["set-by-hand", "Teich ü", "a-u-G"]
        for looker in lookers.values():
            is_drawn(looker.shape(feature["id"]), feature)

        ask(broker, "delete", id="4", layer="ponds", ids=[pond["id"]])
        for looker in lookers.values():
            looker.deletion(pond["id"])
        time.sleep(4)
        for url, more in [(f"tcp://localhost:{plain}", {}), (f"tls://localhost:{secret}", tls),
                          (f"mqtt+ro://localhost:{broker}/geosam/board-7/cot/+", {})]:
            late = Looker(url, **more)
            is_drawn(late.shape(building["id"]), building["feature"])
            time.sleep(1)
            assert not late.of(pond["id"]), f"a deleted object is given to who comes later, at {url}"

        # Deleted while the board is off: by hand, in the layer's file.
        board.close()
        (folder / "state/layers/houses.geojsonl").write_text("")
        board.enter_context(running(COMMAND, *serve, log=folder / "log"))
        for looker in lookers.values():
            looker.deletion(building["id"])
        # taky has handed the marker over again: it is the same request, and there is one object.
        asked_for = "the object under a marker of TAK is asked for"
        until("the marker again", lambda: (folder / "log").read_text().count(asked_for) >= 2)
        time.sleep(5)
        assert len(marked.read_text().splitlines()) == 1
        # What was deleted a moment before the stop may be told once more, and never shown again.
        assert all(lasts(event) < 3 for looker in lookers.values() for event in looker.of(pond["id"], "u-d-f")[-1:]
                   if "mqtt" not in looker.config["COT_URL"])
        board.close()
        print("1 passed, 0 failed")


main()
