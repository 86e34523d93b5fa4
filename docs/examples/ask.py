"""Asks a board for the object under a point, and prints it as GeoJSON.

    pip install paho-mqtt
    python ask.py LON LAT [--board board-7] [--host 127.0.0.1] [--port 1883] [--v311] [--save LAYER]

With --save the object is built in a session and saved in a layer on the board. Requests and answers have QoS 1 and the session
with the broker is kept, so an answer that comes while this script is not connected is not lost: the next run hears it.
"""

import argparse
import json
import queue
import time

import paho.mqtt.client as mqtt
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

CLIENT = "survey"  # a level of the topics; the broker's access list may bind it to a user
PATIENCE = 60  # seconds; a board that is off answers later


class Board:
    """One board as a client sees it."""

    def __init__(self, options):
        self.base, self.answers, subscribed = f"geosam/{options.board}", queue.Queue(), queue.Queue()
        kept = {"clean_session": False} if options.v311 else {}
        self.mqtt = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2, client_id=CLIENT,
                                protocol=mqtt.MQTTv311 if options.v311 else mqtt.MQTTv5, **kept)
        self.mqtt.on_connect = lambda client, *_: client.subscribe(f"{self.base}/response/{CLIENT}/+", qos=1)
        self.mqtt.on_subscribe = lambda *_: subscribed.put(True)
        self.mqtt.on_message = lambda client, data, message: self.answers.put(json.loads(message.payload))
        if options.v311:
            self.mqtt.connect(options.host, options.port)
        else:
            a_day = Properties(PacketTypes.CONNECT)
            a_day.SessionExpiryInterval = 86_400
            self.mqtt.connect(options.host, options.port, clean_start=False, properties=a_day)
        self.mqtt.loop_start()
        subscribed.get(timeout=PATIENCE)

    def ask(self, verb, **request):
        """The answer to a request, found by its id. The same id with the same request again is answered from memory."""
        request["id"] = f"{verb}-{time.time_ns()}"
        self.mqtt.publish(f"{self.base}/request/{CLIENT}/{verb}", json.dumps(request), qos=1)
        while True:
            answer = self.answers.get(timeout=PATIENCE)
            if answer["id"] == request["id"]:
                break
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
    options = parser.parse_args()
    board, point = Board(options), [[options.lon, options.lat]]
    if options.save:
        board.ask("add", session="ask", points=point)
        saved = board.ask("save", session="ask", layer=options.save)["saved"]
        print(json.dumps(saved["feature"]))
    else:
        print(json.dumps(board.ask("segment", points=point)["result"]))
    board.leave()


if __name__ == "__main__":
    main()
