#!/usr/bin/env python3
"""Previews through a stock mosquitto: how long one takes, and how many a second, for each program named.

    python benches/mqtt_preview.py PROGRAM [PROGRAM ...]

Each program serves the demo folder of tests/fixtures through its own mosquitto with the defaults of the package; a paho client
(QoS 0, no socket options) asks for one preview after the other. The programs take turns, round by round, so that what
the machine does meanwhile meets all of them. Printed for each: median and 90th percentile in ms, masks a second; and the ratio
of the last program's figures to the first's. Needs paho-mqtt 2 and mosquitto.
"""

import json
import pathlib
import queue
import socket
import statistics
import subprocess
import sys
import tempfile
import time

import paho.mqtt.client as mqtt

HERE = pathlib.Path(__file__).resolve().parent.parent
FIXTURES = HERE / "tests" / "fixtures"
ROUNDS, PREVIEWS = 8, 40


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


class Scene:
    def __init__(self, program, extra=""):
        self.dir = tempfile.TemporaryDirectory()
        port = free_port()
        conf = pathlib.Path(self.dir.name, "m.conf")
        conf.write_text(f"listener {port} 127.0.0.1\nallow_anonymous true\n{extra}")
        self.broker = subprocess.Popen(["mosquitto", "-c", conf], stderr=subprocess.DEVNULL)
        time.sleep(0.5)
        self.board = subprocess.Popen(
            [program, "serve", "--device", "b", "--broker", f"mqtt://127.0.0.1:{port}", "--features", FIXTURES / "folder_sam",
             "--models", FIXTURES / "models", "--state", pathlib.Path(self.dir.name, "state")], stderr=subprocess.DEVNULL)
        self.heard = queue.Queue()
        self.client = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2, protocol=mqtt.MQTTv5)
        self.client.on_message = lambda _c, _u, m: self.heard.put(m)
        self.client.connect("127.0.0.1", port)
        self.client.subscribe("geosam/b/response/me/segment", 0)
        self.client.subscribe("geosam/b/state", 0)
        self.client.loop_start()
        while self.heard.get(timeout=60).payload != b"online":
            pass
        self.number = 0
        self.times = []

    def preview(self):
        self.number += 1
        request = {"id": str(self.number), "preview": True, "folder": "folder_sam", "crs": "EPSG:32633",
                   "points": [[458120 + self.number % 7, 5427215]],
                   "output": {"vectorization": "simplified", "tolerance": 30, "largest_only": True}}
        begin = time.perf_counter()
        self.client.publish("geosam/b/request/me/segment", json.dumps(request), 0)
        while True:
            answer = json.loads(self.heard.get(timeout=30).payload)
            if answer.get("id") == request["id"]:
                assert answer["status"] == "ok", answer
                return (time.perf_counter() - begin) * 1e3

    def stop(self):
        self.client.loop_stop()
        for process in (self.board, self.broker):
            process.kill()
            process.wait()


def main():
    programs = sys.argv[1:] or sys.exit(__doc__)
    scenes = [Scene(program) for program in programs]
    for scene in scenes:
        for _ in range(5):
            scene.preview()
    for _ in range(ROUNDS):
        for scene in scenes:
            scene.times += [scene.preview() for _ in range(PREVIEWS)]
    medians = []
    for program, scene in zip(programs, scenes):
        median = statistics.median(scene.times)
        medians.append(median)
        tenth = statistics.quantiles(scene.times, n=10)[-1]
        print(f"{program}: median {median:.1f} ms, p90 {tenth:.1f} ms, {1e3 / statistics.mean(scene.times):.1f} masks a second")
        scene.stop()
    if len(programs) > 1:
        print(f"median of the last over the first: {medians[-1] / medians[0]:.2f}")


main()
