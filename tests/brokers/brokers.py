"""What of the contract holds on brokers that people run: starts each, with a board beside it, and writes the table of
docs/brokers.md.

    pip install paho-mqtt amqtt; npm install aedes; apt-get install mosquitto rabbitmq-server
    BIN=target/debug/geosam-edge python tests/brokers/brokers.py [NAME...]

BIN is the program, built with the feature `demo` (its broker is rumqttd). MOSQUITTO_NEWEST is the command line of a newer
mosquitto; NODE_PATH is where aedes was installed. What is not there is left out, and said so. All traffic stays on 127.0.0.1."""

import json, os, queue, shlex, shutil, signal, socket, subprocess, sys, tempfile, threading, time
from pathlib import Path

import paho.mqtt.client as mqtt

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
BIN = os.path.abspath(os.environ.get("BIN", ROOT / "target/debug/geosam-edge"))
DEMO = ROOT / "models/demo"
# Inside an object of the demo's scene.
POINT = [9.17211953, 47.65281208]
PATIENCE = float(os.environ.get("PATIENCE", "30"))
# A broker of Erlang takes minutes to start beside other work on a small machine.
STARTING = float(os.environ.get("STARTING", "600"))


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


class Broker:
    """A broker on a port of its own, with its files in a directory of its own."""

    name, lasting, protocol = "", True, mqtt.MQTTv5

    def __init__(self):
        self.dir, self.port, self.process = tempfile.mkdtemp(prefix="broker"), free_port(), None
        os.chmod(self.dir, 0o755)

    def command(self):
        raise NotImplementedError

    def environment(self):
        return {}

    def start(self):
        log = open(f"{self.dir}/log", "a")
        command, environment = self.command(), {**os.environ, **self.environment()}
        self.process = subprocess.Popen(command, cwd=self.dir, env=environment, stdout=log, stderr=log, start_new_session=True)
        end = time.time() + STARTING
        while time.time() < end:
            try:
                socket.create_connection(("127.0.0.1", self.port), 1).close()
                return self
            except OSError:
                if self.process.poll() is not None:
                    break
                time.sleep(0.1)
        raise RuntimeError(f"{self.name} does not start: {open(self.dir + '/log').read()[-800:]}")

    def stop(self):
        if self.process:
            os.killpg(self.process.pid, signal.SIGTERM)
            try:
                self.process.wait(40)
            except subprocess.TimeoutExpired:
                os.killpg(self.process.pid, signal.SIGKILL)
                self.process.wait()
            self.process = None

    def forget(self):
        """Loses what it has kept, while it is stopped."""


class Mosquitto(Broker):
    name, program = "mosquitto", ["mosquitto"]

    def command(self):
        lines = ["user root", f"listener {self.port} 127.0.0.1", "allow_anonymous true", "persistence true",
                 f"persistence_location {self.dir}/", "max_queued_messages 0", "log_type all"]
        Path(f"{self.dir}/conf").write_text("\n".join(lines) + "\n")
        return [*self.program, "-c", f"{self.dir}/conf"]

    def forget(self):
        Path(f"{self.dir}/mosquitto.db").unlink(missing_ok=True)

    @classmethod
    def version(cls):
        told = subprocess.run([*cls.program, "-h"], capture_output=True, text=True).stdout
        return told.split("\n")[0].split()[-1]


class MosquittoNewest(Mosquitto):
    name, program = "mosquitto, newest", shlex.split(os.environ.get("MOSQUITTO_NEWEST", "absent"))


class RabbitMq(Broker):
    """With its MQTT plugin; the server's own script, since the wrapper changes the user."""

    name, protocol = "RabbitMQ", mqtt.MQTTv311
    program = "/usr/lib/rabbitmq/bin/rabbitmq-server"

    def command(self):
        Path(f"{self.dir}/plugins").write_text("[rabbitmq_mqtt].\n")
        amqp = free_port()
        conf = [f"listeners.tcp.1 = 127.0.0.1:{amqp}", f"mqtt.listeners.tcp.1 = 127.0.0.1:{self.port}",
                "mqtt.allow_anonymous = true", "mqtt.vhost = /", "mqtt.exchange = amq.topic", f"distribution.listener.interface = 127.0.0.1"]
        Path(f"{self.dir}/rabbitmq.conf").write_text("\n".join(conf) + "\n")
        return [self.program]

    def environment(self):
        return {"HOME": self.dir, "RABBITMQ_NODENAME": f"edge{self.port}@localhost", "RABBITMQ_MNESIA_BASE": f"{self.dir}/mnesia",
                "RABBITMQ_LOG_BASE": self.dir, "RABBITMQ_ENABLED_PLUGINS_FILE": f"{self.dir}/plugins",
                "RABBITMQ_CONFIG_FILE": f"{self.dir}/rabbitmq", "RABBITMQ_DIST_PORT": str(free_port()),
                "RABBITMQ_CONF_ENV_FILE": f"{self.dir}/absent"}

    def forget(self):
        shutil.rmtree(f"{self.dir}/mnesia", ignore_errors=True)

    @classmethod
    def version(cls):
        told = subprocess.run(["dpkg-query", "-W", "-f", "${Version}", "rabbitmq-server"], capture_output=True, text=True).stdout
        return told.split("-")[0]


class Amqtt(Broker):
    name, protocol, lasting = "amqtt", mqtt.MQTTv311, False

    def command(self):
        config = {"listeners": {"default": {"type": "tcp", "bind": f"127.0.0.1:{self.port}"}},
                  "plugins": {"amqtt.plugins.authentication.AnonymousAuthPlugin": {"allow_anonymous": True}}}
        Path(f"{self.dir}/conf.yaml").write_text(json.dumps(config))
        return [str(Path(sys.executable).parent / "amqtt"), "-c", f"{self.dir}/conf.yaml"]

    @classmethod
    def version(cls):
        from importlib.metadata import version
        return version("amqtt")


class Aedes(Broker):
    name, protocol, lasting = "aedes", mqtt.MQTTv311, False
    modules = os.environ.get("NODE_PATH", "")

    def command(self):
        script = "const {Aedes} = require('aedes'), net = require('net'); (async () => { const broker = await Aedes.createBroker(); " \
                 f"net.createServer(broker.handle).listen({self.port}, '127.0.0.1'); }})()"
        return ["node", "-e", script]

    @classmethod
    def version(cls):
        return json.loads((Path(cls.modules) / "aedes/package.json").read_text())["version"]


class Rumqttd(Broker):
    """The broker of `geosam-edge demo`, which keeps nothing; its own board is another device."""

    name, lasting = "rumqttd", False

    def command(self):
        return [BIN, "demo", "--keep", "--port", str(self.port), "--features", str(DEMO / "features")]

    @classmethod
    def version(cls):
        lock = (ROOT / "Cargo.lock").read_text()
        return lock.split('name = "rumqttd"\nversion = "')[1].split('"')[0]


class Board:
    def __init__(self, broker, device="tried", groups=()):
        self.dir, self.device, self.process = tempfile.mkdtemp(prefix="board"), device, None
        lines = [f'device = "{device}"', f'features = ["{DEMO}/features"]', f'models = "{DEMO}/models"',
                 f'state = "{self.dir}/state"', "[broker]", f'url = "mqtt://127.0.0.1:{broker.port}"', "[decoder]", 'engine = "fused"', "[health]", "interval_s = 2",
                 "[fleet]", f"groups = {json.dumps(list(groups))}"]
        Path(f"{self.dir}/edge.toml").write_text("\n".join(lines) + "\n")
        layer = Path(f"{self.dir}/state/layers/large.geojsonl")
        layer.parent.mkdir(parents=True)
        feature = lambda n: {"type": "Feature", "id": f"f{n}", "geometry": None, "properties": {"text": "x" * 1000}}
        layer.write_text("".join(json.dumps(feature(n)) + "\n" for n in range(140)))

    def start(self):
        log = open(f"{self.dir}/log", "a")
        self.process = subprocess.Popen([BIN, "serve", "--config", f"{self.dir}/edge.toml"], stdout=log, stderr=log)
        return self

    def kill(self):
        self.process.kill()
        self.process.wait()

    def stop(self):
        self.process.terminate()
        self.process.wait(40)

    def log(self):
        return Path(f"{self.dir}/log").read_text()


class Client:
    """A client of the protocol that the broker speaks, which hears all."""

    def __init__(self, broker, topics=("geosam/#",)):
        self.broker, self.heard, self.topics = broker, [], topics
        self.subscribed = threading.Event()
        version = mqtt.CallbackAPIVersion.VERSION2
        self.mqtt = mqtt.Client(version, client_id=f"client{free_port()}", protocol=broker.protocol)
        self.mqtt.on_message = lambda _c, _u, message: self.heard.append(message)
        self.mqtt.on_connect = lambda client, *_: [client.subscribe(topic, 1) for topic in topics]
        self.mqtt.on_subscribe = lambda *_: self.subscribed.set()
        self.mqtt.reconnect_delay_set(1, 2)
        self.mqtt.connect("127.0.0.1", broker.port)
        self.mqtt.loop_start()
        if not self.subscribed.wait(PATIENCE):
            raise RuntimeError("the client's subscription is not granted")

    def ask(self, verb, id, device="tried", fleet=None, **members):
        scope = f"fleet/{fleet}" if fleet else device
        if "points" not in members and verb == "segment":
            members["points"] = [POINT]
        self.mqtt.publish(f"geosam/{scope}/request/c/{verb}", json.dumps({"id": id, **members}), 1).wait_for_publish(PATIENCE)

    def wait(self, fits, patience=PATIENCE):
        end, seen = time.time() + patience, 0
        while time.time() < end:
            for message in self.heard[seen:]:
                if fits(message):
                    return message
                seen += 1
            time.sleep(0.05)
        return None

    def answer(self, id, patience=PATIENCE):
        def fits(message):
            return "/response/" in message.topic and json.loads(message.payload).get("id") == id
        message = self.wait(fits, patience)
        return message and json.loads(message.payload)

    def state(self, text, since=0, patience=PATIENCE):
        return self.wait(lambda m: m.topic == "geosam/tried/state" and m.payload == text and self.heard.index(m) >= since, patience)

    def close(self):
        self.mqtt.disconnect()
        self.mqtt.loop_stop()


def yes(holds, otherwise="no"):
    return "yes" if holds else otherwise


def told(answer, size=0):
    """What an answer says, in a word."""
    if answer is None:
        return "no answer"
    if answer["status"] != "ok":
        return answer["error"]["code"]
    return "yes" if len(json.dumps(answer)) >= size else "too small"


def check(kind):
    """The column of a broker: a mapping of row to what was seen."""
    broker, column = kind().start(), {}
    boards = []
    try:
        client = Client(broker)
        board = Board(broker).start()
        boards.append(board)
        column["online, as configured by default"] = yes(client.state(b"online"))
        time.sleep(1)
        client.ask("segment", "one")
        column["request and answer"] = told(client.answer("one"))
        client.ask("fetch", "page", layer="large", limit=1000, output={"max_bytes": 1000000})
        column["an answer of 150 KB"] = told(client.answer("page"), 140_000)
        client.ask("list", "after")
        column["others after it"] = told(client.answer("after"))

        since = len(client.heard)
        board.kill()
        will = client.state(b"offline", since)
        late = Client(broker, ["geosam/tried/state"])
        retained = late.state(b"offline", 0, 5)
        late.close()
        column["last will after kill -9"] = yes(will and retained, "not retained" if will else "no")

        for n in range(5):
            client.ask("segment", f"waiting{n}")
        board.start()
        answered = sum(client.answer(f"waiting{n}", PATIENCE if n == 0 else 10) is not None for n in range(5))
        column["5 requests while the board is off"] = f"{answered} answered"

        board.kill()
        client.ask("segment", "over")
        client.close()
        broker.stop()
        broker.start()
        client = Client(broker)
        board.start()
        column["one of them over a restart (SIGTERM) of the broker"] = yes(client.answer("over", 15), "lost")

        since = len(client.heard)
        broker.stop()
        time.sleep(1)
        broker.start()
        client.subscribed.clear()
        client.subscribed.wait(PATIENCE)
        client.state(b"online", since)
        time.sleep(2)
        client.ask("segment", "again")
        column["broker restarted beside the board: request and answer"] = told(client.answer("again"))

        # The event itself comes before a client of a broker without sessions has subscribed again.
        lost = lambda m: m.topic == "geosam/tried/health" and json.loads(m.payload)["broker"]["sessions_lost"] > 0
        if not client.wait(lost, 5):
            broker.stop()
            broker.forget()
            broker.start()
        column["a session that the broker has lost is told"] = yes(client.wait(lost))
        board.stop()
        client.close()

        broker.stop()
        broker.forget()
        broker.start()
        client = Client(broker)
        fleet = [Board(broker, f"fleet{n}", ["field"]).start() for n in range(2)]
        boards += fleet
        for n in range(2):
            client.wait(lambda m, n=n: m.topic == f"geosam/fleet{n}/state" and m.payload == b"online")
        time.sleep(1)
        for n in range(10):
            client.ask("segment", f"group{n}", fleet="field")
        counts = []
        for n in range(10):
            client.answer(f"group{n}", PATIENCE if n == 0 else 3)
        time.sleep(2)
        for n in range(10):
            counts.append(sum("/response/" in m.topic and json.loads(m.payload).get("id") == f"group{n}" for m in client.heard))
        column["fleet: 10 requests to two boards"] = f"{sum(c > 0 for c in counts)} answered, {sum(c > 1 for c in counts)} twice"
        client.close()
        for board in fleet:
            board.stop()
    finally:
        for board in boards:
            if board.process.poll() is None:
                board.kill()
        log = boards[0].log() if boards else ""
        spoken = [line.split("protocol=")[1].split(" session")[0] for line in log.splitlines() if "connected to the broker" in line and "protocol=" in line]
        column["protocol that was found"] = spoken[-1] if spoken else "-"
        broker.stop()
        if os.environ.get("KEEP_LOGS"):
            for n, board in enumerate(boards):
                shutil.copy(f"{board.dir}/log", f"{os.environ['KEEP_LOGS']}/{kind.__name__}-{n}.log")
    return column


def main():
    kinds = [Mosquitto, MosquittoNewest, Rumqttd, RabbitMq, Amqtt, Aedes]
    wanted = [kind for kind in kinds if not sys.argv[1:] or kind.__name__ in sys.argv[1:]]
    columns = {}
    for kind in wanted:
        try:
            heading = f"{kind.name.split(',')[0]} {kind.version()}"
        except (OSError, ImportError, IndexError) as error:
            print(f"{kind.name} is not here: {error}", file=sys.stderr)
            continue
        try:
            columns[heading] = check(kind)
        except Exception as error:
            print(f"{heading}: {error!r}", file=sys.stderr)
            columns[heading] = {}
        print(heading, json.dumps(columns[heading], indent=1), file=sys.stderr, flush=True)
    rows = list(dict.fromkeys(row for column in columns.values() for row in column))
    print("| | " + " | ".join(columns) + " |")
    print("|---|" + "---|" * len(columns))
    for row in rows:
        print(f"| {row} | " + " | ".join(column.get(row, "-") for column in columns.values()) + " |")


main()
