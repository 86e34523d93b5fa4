"""What the scripts that look on at TAK servers share: ports, waiting, and what is held of an event."""

import datetime
import socket
import time


def free_port(kind=socket.SOCK_STREAM):
    with socket.socket(socket.AF_INET, kind) as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def listens(port, host="127.0.0.1"):
    with socket.socket() as probe:
        return probe.connect_ex((host, port)) == 0


def until(what, holds, patience):
    """Waits for so many seconds until something holds, and gives it."""
    begin = time.monotonic()
    while not (found := holds()):
        assert time.monotonic() - begin < patience, what
        time.sleep(0.05)
    return found


def is_drawn(event, feature):
    """Every vertex is there, in the order that was saved, under the object's id. Gives their number."""
    assert feature["geometry"]["type"] == "Polygon", "one part"
    links = [link.get("point").split(",") for link in event.findall("detail/link")]
    assert [[float(lon), float(lat)] for lat, lon in links] == feature["geometry"]["coordinates"][0]
    assert event.find("detail/contact").get("callsign") == feature["id"]
    return len(links)


def lasts(event):
    begin, end = (datetime.datetime.fromisoformat(event.get(name).replace("Z", "+00:00")) for name in ["time", "stale"])
    return (end - begin).total_seconds()
