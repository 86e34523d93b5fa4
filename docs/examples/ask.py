"""Asks a board for the object under a point, and prints it as GeoJSON.

    pip install paho-mqtt
    python ask.py LON LAT [--board board-7] [--host 127.0.0.1] [--port 1883] [--v311] [--save LAYER]
                  [--vectorization pixel|simplified] [--ca ca.pem --cert survey.pem --key survey.key]

With --save the object is saved in a layer on the board; --vectorization says how outlines are drawn, as in "output" of
docs/mqtt.md. Requests and answers have QoS 1 and the session with the broker is
kept, so an answer that comes while this script is not connected is not lost: the next run hears it. A board that nobody is
called is told before anything is asked: each board keeps its state at the broker.

This is all in one file, to be read and taken from. For programs there is a package: clients/python.
"""

import argparse
import json
import queue
import sys
import time

import paho.mqtt.client as mqtt
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

CLIENT = "survey"  # a level of the topics; the broker's access list may bind it to a user
PATIENCE = 60  # seconds; a board that is off answers later
STATES = "geosam/+/state"


class Board:
    """One board as a client sees it."""

    def __init__(self, options):
        self.name, self.base = options.board, f"geosam/{options.board}"
        self.answers, self.states, subscribed = queue.Queue(), queue.Queue(), queue.Queue()
        kept = {"clean_session": False} if options.v311 else {}
        self.mqtt = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2, client_id=CLIENT,
                                protocol=mqtt.MQTTv311 if options.v311 else mqtt.MQTTv5, **kept)
        if options.ca:
            self.mqtt.tls_set(ca_certs=options.ca, certfile=options.cert, keyfile=options.key)
        # States first: what is retained comes at once, and before the answer to the next subscription.
        self.mqtt.on_connect = lambda client, *_: client.subscribe(
            [(STATES, 1), (f"{self.base}/response/{CLIENT}/+", 1)])
        self.mqtt.on_subscribe = lambda *_: subscribed.put(True)
        self.mqtt.on_message = self.hear
        if options.v311:
            self.mqtt.connect(options.host, options.port)
        else:
            a_day = Properties(PacketTypes.CONNECT)
            a_day.SessionExpiryInterval = 86_400
            self.mqtt.connect(options.host, options.port, clean_start=False, properties=a_day)
        self.mqtt.loop_start()
        subscribed.get(timeout=PATIENCE)

    def hear(self, client, data, message):
        if message.topic.endswith("/state"):
            self.states.put((message.topic.split("/")[1], message.payload.decode()))
        else:
            self.answers.put(json.loads(message.payload))

    def look_around(self):
        """Ends here where no board of this name has ever been at the broker, and says which there are."""
        boards = {}
        try:
            while self.name not in boards:
                name, state = self.states.get(timeout=2)
                boards[name] = state
        except queue.Empty:
            there = ", ".join(f"{name} ({state})" for name, state in sorted(boards.items()))
            raise SystemExit(f"no board is called {self.name}; there " + (f"are: {there}" if there else "is none"))
        if boards[self.name] != "online":
            print(f"{self.name} is {boards[self.name]}; it answers when it is back", file=sys.stderr)

    def ask(self, verb, **request):
        """The answer to a request, found by its id. The same id with the same request again is answered from memory."""
        request["id"] = f"{verb}-{time.time_ns()}"
        self.mqtt.publish(f"{self.base}/request/{CLIENT}/{verb}", json.dumps(request), qos=1)
        try:
            while (answer := self.answers.get(timeout=PATIENCE))["id"] != request["id"]:
                pass
        except queue.Empty:
            raise SystemExit(f"{self.name} has not answered in {PATIENCE} s; its answer will be here at the next run")
        if answer["status"] != "ok":
            raise SystemExit(f"{answer['error']['code']}: {answer['error']['message']}")
        return answer

    def leave(self):
        self.mqtt.disconnect()
        self.mqtt.loop_stop()


def main():
    parser = argparse.ArgumentParser(description="Asks a board for the object under a point.")
    parser.add_argument("lon", type=float)
    parser.add_argument("lat", type=float)
    parser.add_argument("--board", default="board-7")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=1883)
    parser.add_argument("--v311", action="store_true", help="MQTT 3.1.1 instead of 5")
    parser.add_argument("--save", metavar="LAYER", help="save the object in this layer of the board")
    parser.add_argument("--vectorization", choices=["pixel", "simplified"], default="pixel",
                        help="outlines along the edges of pixels, or simplified [default: pixel]")
    parser.add_argument("--ca", help="certificate of the broker's authority: TLS (docs/tls.md)")
    parser.add_argument("--cert", help=f"certificate of the user {CLIENT}")
    parser.add_argument("--key", help="its key")
    options = parser.parse_args()
    board, point = Board(options), [[options.lon, options.lat]]
    board.look_around()
    output = {"vectorization": options.vectorization}
    if options.save:
        print(json.dumps(board.ask("save", layer=options.save, points=point, output=output)["saved"]["feature"]))
    else:
        print(json.dumps(board.ask("segment", points=point, output=output)["result"]))
    board.leave()


if __name__ == "__main__":
    main()
