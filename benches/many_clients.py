#!/usr/bin/env python3
"""One board with many clients, and a fleet of boards, each through a mosquitto of its own.

    python benches/many_clients.py PROGRAM [--seconds 600] [--draggers 8] [--askers 4] [--fleet 4]

One board: clients that drag a preview over the demo scene (QoS 0, the next one 25 ms after the last was sent, whether or not that
was answered) and clients that ask at QoS 1, one prompt after the other. Told for each kind: the time from a request to its answer
(median, 99th percentile), answers a second, fairness (the client with the longest median over the one with the shortest, and the
one with most answers over the one with fewest), and the program's memory after a tenth of the time and at the end.

Fleet: boards of one decoder thread each, that share a group's topic; a client keeps two requests a board on their way. Told:
masks a second of one board and of as many as there are processors, and of the whole fleet, over those of one board.

Needs paho-mqtt 2 and mosquitto.
"""

import argparse
import json
import os
import pathlib
import queue
import random
import socket
import statistics
import subprocess
import tempfile
import threading
import time

import paho.mqtt.client as mqtt

DEMO = pathlib.Path(__file__).resolve().parent.parent / "models" / "demo"
TRUTH = json.loads((DEMO / "truth.geojson").read_text())
PLACES = [feature["properties"]["inside"] for feature in TRUTH["features"]]


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


class Broker:
    def __init__(self, directory):
        self.port = free_port()
        conf = pathlib.Path(directory, "m.conf")
        conf.write_text(f"listener {self.port} 127.0.0.1\nallow_anonymous true\nset_tcp_nodelay true\nmax_queued_messages 0\n")
        self.process = subprocess.Popen(["mosquitto", "-c", conf], stderr=subprocess.DEVNULL)
        time.sleep(0.5)

    def stop(self):
        self.process.kill()
        self.process.wait()


class Board:
    def __init__(self, program, directory, name, broker, threads=0):
        conf = pathlib.Path(directory, f"{name}.toml")
        conf.write_text(
            f'device = "{name}"\nfeatures = ["{DEMO}/features"]\nmodels = "{DEMO}/models"\nstate = "{directory}/{name}"\n'
            f'[broker]\nurl = "mqtt://127.0.0.1:{broker.port}"\n[fleet]\ngroups = ["valley"]\n'
            f"[decoder]\nworkers = 1\nthreads = {threads}\n")
        watcher = Client(broker, "watcher", f"geosam/{name}/state")
        self.process = subprocess.Popen([program, "serve", "--config", conf], stderr=subprocess.DEVNULL)
        while watcher.heard.get(timeout=120)[1] != b"online":
            pass
        watcher.stop()

    def resident_mb(self):
        for line in open(f"/proc/{self.process.pid}/status"):
            if line.startswith("VmRSS"):
                return int(line.split()[1]) / 1024
        return 0.0

    def stop(self):
        self.process.kill()
        self.process.wait()


class Client:
    """A client that hears one topic."""

    def __init__(self, broker, name, topic, qos=1):
        self.heard = queue.Queue()
        self.client = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2, protocol=mqtt.MQTTv5)
        self.client.on_message = lambda _c, _u, m: self.heard.put((time.perf_counter(), m.payload))
        self.client.connect("127.0.0.1", broker.port)
        self.client.subscribe(topic, qos)
        self.client.loop_start()
        self.name = name

    def stop(self):
        self.client.disconnect()
        self.client.loop_stop()


class OfOneKind:
    """What the clients of one kind have waited."""

    def __init__(self, name, count):
        self.name = name
        self.times = [[] for _ in range(count)]

    def tell(self, seconds):
        everything = [t for times in self.times for t in times]
        medians = [statistics.median(times) for times in self.times]
        counts = [len(times) for times in self.times]
        print(f"{len(self.times)} {self.name}: median {statistics.median(everything) * 1e3:.1f} ms, "
              f"p99 {statistics.quantiles(everything, n=100)[-1] * 1e3:.1f} ms, {len(everything) / seconds:.1f} answers a second; "
              f"fairness {max(medians) / min(medians):.2f} by medians, {max(counts) / min(counts):.2f} by answers")


def drag(broker, number, kind, end):
    me = Client(broker, f"drag{number}", f"geosam/board/response/drag{number}/segment", 0)
    step, sent = 0, {}
    while time.perf_counter() < end:
        step += 1
        lon, lat = PLACES[(step // 40 + number * 7) % len(PLACES)]
        request = {"id": step, "preview": True, "points": [[lon + step % 40 * 1e-7, lat]],
                   "output": {"vectorization": "simplified", "tolerance": 1, "largest_only": True}}
        sent[step] = time.perf_counter()
        me.client.publish(f"geosam/board/request/drag{number}/segment", json.dumps(request), 0)
        time.sleep(0.025)
        while not me.heard.empty():
            came, payload = me.heard.get()
            answer = json.loads(payload)
            # One that a later preview has overtaken is refused; what a user sees are the masks.
            if answer["status"] == "ok":
                kind.times[number].append(came - sent.pop(answer["id"]))
    me.stop()


def ask(broker, number, kind, end):
    me = Client(broker, f"ask{number}", f"geosam/board/response/ask{number}/segment")
    chance = random.Random(number)
    step = 0
    while time.perf_counter() < end:
        step += 1
        request = {"id": step, "points": [chance.choice(PLACES)]}
        begin = time.perf_counter()
        me.client.publish(f"geosam/board/request/ask{number}/segment", json.dumps(request), 1)
        came, payload = me.heard.get(timeout=60)
        assert json.loads(payload)["status"] == "ok", payload[:300]
        kind.times[number].append(came - begin)
    me.stop()


def one_board(program, seconds, draggers, askers):
    with tempfile.TemporaryDirectory() as directory:
        broker = Broker(directory)
        board = Board(program, directory, "board", broker)
        begin = time.perf_counter()
        dragged, asked = OfOneKind("clients dragging a preview", draggers), OfOneKind("clients asking at QoS 1", askers)
        threads = [threading.Thread(target=drag, args=(broker, n, dragged, begin + seconds)) for n in range(draggers)]
        threads += [threading.Thread(target=ask, args=(broker, n, asked, begin + seconds)) for n in range(askers)]
        for thread in threads:
            thread.start()
        time.sleep(seconds / 10)
        early = board.resident_mb()
        for thread in threads:
            thread.join()
        print(f"one board, {seconds} s, {os.cpu_count()} processors")
        dragged.tell(seconds)
        asked.tell(seconds)
        print(f"memory after a tenth of the time {early:.1f} MB, at the end {board.resident_mb():.1f} MB")
        board.stop()
        broker.stop()


def masks_a_second(program, boards, seconds):
    with tempfile.TemporaryDirectory() as directory:
        broker = Broker(directory)
        fleet = [Board(program, directory, f"b{n}", broker, threads=1) for n in range(boards)]
        me = Client(broker, "me", "geosam/fleet/valley/response/me/segment")
        chance = random.Random(1)

        def send(step):
            request = {"id": step, "points": [chance.choice(PLACES)]}
            me.client.publish("geosam/fleet/valley/request/me/segment", json.dumps(request), 1)

        for step in range(2 * boards):
            send(step)
        # Each board has every chip prepared before it counts.
        warm = time.perf_counter() + seconds / 4
        begin, answered, step = None, 0, 2 * boards
        while begin is None or time.perf_counter() < begin + seconds:
            _, payload = me.heard.get(timeout=60)
            assert json.loads(payload)["status"] == "ok", payload[:300]
            if begin is None and time.perf_counter() > warm:
                begin = time.perf_counter()
            answered += begin is not None
            step += 1
            send(step)
        rate = answered / (time.perf_counter() - begin)
        me.stop()
        for board in fleet:
            board.stop()
        broker.stop()
        return rate


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("program")
    parser.add_argument("--seconds", type=float, default=600)
    parser.add_argument("--draggers", type=int, default=8)
    parser.add_argument("--askers", type=int, default=4)
    parser.add_argument("--fleet", type=int, default=4)
    options = parser.parse_args()
    one_board(options.program, options.seconds, options.draggers, options.askers)
    one = masks_a_second(options.program, 1, min(options.seconds, 30))
    print(f"fleet: one board of one thread {one:.1f} masks a second")
    for boards in sorted({min(os.cpu_count() or 1, options.fleet), options.fleet} - {1}):
        rate = masks_a_second(options.program, boards, min(options.seconds, 30))
        print(f"fleet: {boards} boards of one thread {rate:.1f} masks a second, {rate / one:.2f} of one board's")


main()
