"""Goals 5 and 7: memory of an idle service, and previews a second through a real broker (mosquitto)."""

import json
import shutil
import socket
import subprocess
import threading
import time

from measure import REPOSITORY, Row



class Board:
    """A broker and a service on it, both on this machine."""

    def __init__(self, program, work, folder, models):
        self.directory = work / "board"
        shutil.rmtree(self.directory, ignore_errors=True)
        self.directory.mkdir(parents=True)
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        conf = self.directory / "mosquitto.conf"
        conf.write_text(f"listener {self.port} 127.0.0.1\nallow_anonymous true\nmax_queued_messages 0\n")
        quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        self.broker = subprocess.Popen(["mosquitto", "-c", conf], **quiet)
        time.sleep(0.5)
        command = [program, "serve", "--broker", f"mqtt://127.0.0.1:{self.port}", "--device", "bench", "--features", folder,
                   "--models", models, "--state", self.directory / "state"]
        self.log = open(self.directory / "log", "wb")
        self.service = subprocess.Popen(command, stdout=self.log, stderr=self.log)

    def client(self, name):
        return Client(self.port, name)

    def memory(self):
        """Resident memory of the service, in MB."""
        for line in open(f"/proc/{self.service.pid}/status"):
            if line.startswith("VmRSS"):
                return int(line.split()[1]) / 1e3
        raise SystemExit(f"the service has ended; see {self.directory / 'log'}")

    def close(self):
        for process in (self.service, self.broker):
            process.terminate()
            process.wait()
        self.log.close()


class Client:
    """One user: asks, and waits for the answer."""

    def __init__(self, port, name):
        import paho.mqtt.client as mqtt

        self.name, self.answered, self.answer, self.waits_for = name, threading.Event(), None, None
        self.mqtt = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2, client_id=name, protocol=mqtt.MQTTv5)
        self.ready = threading.Event()
        self.mqtt.on_subscribe = lambda *_: self.ready.set()
        self.mqtt.on_message = self.on_message
        self.mqtt.connect("127.0.0.1", port)
        # Nagle's algorithm would add its own 40 ms to every answer.
        self.mqtt.socket().setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.mqtt.subscribe(f"geosam/bench/response/{name}/#", qos=0)
        self.mqtt.loop_start()
        self.ready.wait(10)

    def on_message(self, _client, _data, message):
        answer = json.loads(message.payload)
        if answer["id"] == self.waits_for:
            self.answer = answer
            self.answered.set()

    def send(self, prompt, identifier, **more):
        self.answered.clear()
        self.waits_for = identifier
        payload = {"id": identifier, "output": {"vectorization": "simplified"}, **prompt, **more}
        self.mqtt.publish(f"geosam/bench/request/{self.name}/segment", json.dumps(payload), qos=0)

    def ask(self, prompt, number, preview):
        """Milliseconds until the answer, parsed."""
        start = time.perf_counter()
        self.send(prompt, str(number), **({"preview": True} if preview else {}))
        if not self.answered.wait(60):
            raise SystemExit("the service does not answer")
        elapsed = 1e3 * (time.perf_counter() - start)
        if self.answer["status"] != "ok":
            raise SystemExit(f"refused: {self.answer}")
        return elapsed

    def wait_for_service(self, prompt):
        for attempt in range(100):
            self.send(prompt, f"w{attempt}")
            if self.answered.wait(2) and self.answer["status"] == "ok":
                return
        raise SystemExit("the service does not come up")

    def close(self):
        self.mqtt.disconnect()
        self.mqtt.loop_stop()


def twenty_chips(work):
    """A folder of twenty chips: the demo's six, each under several names, moved aside."""
    import geopandas as gpd
    from shapely.affinity import translate

    folder, source = work / "twenty", REPOSITORY / "models/demo/features"
    if folder.exists():
        return folder
    (folder / "features").mkdir(parents=True)
    frame = gpd.read_parquet(source / "manifest.parquet")
    rows = []
    for number in range(20):
        row = frame.iloc[number % len(frame)].copy()
        name = f"chip_{number:06}.pt"
        shutil.copy(source / "features" / row["feature_path"].rsplit("/", 1)[-1], folder / "features" / name)
        a, b, c, d, e, f = json.loads(row["transform"])
        shift = number // len(frame) * 3000.0
        row["transform"] = json.dumps([a, b, c + shift, d, e, f])
        row["chip_center_x"] += shift
        row["geometry"] = translate(row["geometry"], shift)
        row["chip_id"], row["feature_path"] = name[:-3], f"/data/twenty/features/{name}"
        rows.append(row)
    gpd.GeoDataFrame(rows, geometry="geometry", crs=frame.crs).reset_index(drop=True).to_parquet(folder / "manifest.parquet")
    return folder


def centers(folder):
    import geopandas as gpd

    frame = gpd.read_parquet(folder / "manifest.parquet")
    columns = zip(frame["chip_center_x"], frame["chip_center_y"])
    return [{"points": [[x, y]], "labels": [1], "crs": frame.crs.to_string()} for x, y in columns]


def measure(program, work, seconds):
    if not shutil.which("mosquitto"):
        print("mosquitto is not installed: goals 5 and 7 are not measured")
        return []
    folder, models = twenty_chips(work), REPOSITORY / "models/demo/models"
    prompts = centers(folder)
    board = Board(program, work, folder, models)
    try:
        client = board.client("c0")
        client.wait_for_service(prompts[0])
        start_memory = board.memory()
        peak = start_memory
        for number in range(100):
            client.ask(prompts[number % len(prompts)], number, preview=False)
            peak = max(peak, board.memory())
        time.sleep(5)
        idle = board.memory()
        note = f"at the most {peak:.0f} MB while working, {start_memory:.0f} MB after the first prompt"
        rows = [Row("5", "memory of `serve`, idle after 100 prompts on 20 chips", [idle], bar=150, unit="MB", note=note)]

        alone = [client.ask(prompts[0], 1000 + n, preview=True) for n in range(30)]
        start, times = time.perf_counter(), []
        while time.perf_counter() - start < seconds:
            times.append(client.ask(prompts[0], 2000 + len(times), preview=True))
        rate = len(times) / (time.perf_counter() - start)
        rows.append(Row("7", "one client's preview through MQTT", alone, note=f"{rate:.1f} masks a second sustained"))

        clients = [client] + [board.client(f"c{n}") for n in range(1, 4)]
        times = [[] for _ in clients]

        def drag(index):
            while time.perf_counter() - start < seconds:
                times[index].append(clients[index].ask(prompts[index], 9000 + len(times[index]), preview=True))

        start = time.perf_counter()
        threads = [threading.Thread(target=drag, args=(index,)) for index in range(len(clients))]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        elapsed = time.perf_counter() - start
        every = sorted(sum(times, []))
        p99 = every[min(len(every) - 1, int(0.99 * len(every)))]
        note = f"{len(every) / elapsed:.1f} masks a second together; p99 {p99:.0f} ms"
        rows.append(Row("7", "four clients' previews at a time", every, note=note))
        for each in clients:
            each.close()
        return rows
    finally:
        board.close()
