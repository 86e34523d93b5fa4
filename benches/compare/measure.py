"""What the comparisons share: rows of the table, programs that are asked line by line, and this machine in words."""

import json
import os
import platform
import statistics
import subprocess
import time
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]


class Row:
    """One line of the table: times (or other numbers, smaller is better) of ours and of theirs, taken in turns."""

    def __init__(self, goal, what, ours, theirs=None, bar=None, unit="ms", note=""):
        self.goal, self.what, self.ours, self.theirs = goal, what, list(ours), list(theirs or [])
        self.bar, self.unit, self.note = bar, unit, note

    def value(self):
        """What the bar is held against: the ratio of the medians, or the median itself."""
        ours = statistics.median(self.ours)
        return ours / statistics.median(self.theirs) if self.theirs else ours

    def met(self):
        if self.bar is None:
            return "-"
        return "yes" if self.value() <= self.bar else "**no**"

    def markdown(self):
        value = f"{self.value():.3f}" if self.theirs else ""
        bar = "" if self.bar is None else f"{self.bar:g}" if self.theirs else f"{self.bar:g} {self.unit}"
        cells = [self.goal, self.what, spread(self.ours, self.unit), spread(self.theirs, self.unit), value, bar,
                 self.met(), self.note]
        return "| " + " | ".join(cells) + " |"


HEADER = "| goal | what | ours | theirs | ratio | bar | met | |\n|---|---|---|---|---|---|---|---|"


def spread(values, unit):
    """The median, and the least and the greatest."""
    if not values:
        return ""
    number = lambda v: f"{v:.2f}" if v < 10 else f"{v:.1f}" if v < 1000 else f"{v:.0f}"
    text = f"{number(statistics.median(values))} {unit}"
    return text if len(values) == 1 else f"{text} ({number(min(values))} to {number(max(values))})"


def timed(run):
    """Milliseconds, and what was returned."""
    start = time.perf_counter()
    result = run()
    return 1e3 * (time.perf_counter() - start), result


def watched(command):
    """Milliseconds that a program runs, the most MB that were resident, and its status. The memory is what the kernel says while it
    runs (VmHWM): `ru_maxrss` of a child begins with the memory of the process that has started it."""
    start = time.perf_counter()
    process = subprocess.Popen(list(map(str, command)), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    most = 0
    while process.poll() is None:
        with open(f"/proc/{process.pid}/status") as status:
            most = max([most, *(int(line.split()[1]) for line in status if line.startswith("VmHWM:"))])
        time.sleep(0.01)
    return 1e3 * (time.perf_counter() - start), most / 1024, process.returncode


class Asked:
    """`geosam-edge segment --request -`: a running program that answers line by line."""

    def __init__(self, program, folder, models, threads):
        command = [program, "segment", folder, "--models", models, "--threads", str(threads), "--request", "-"]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)

    def ask(self, request):
        """The answer's bytes."""
        self.process.stdin.write(request)
        self.process.stdin.flush()
        return self.process.stdout.readline()

    def close(self):
        self.process.stdin.close()
        self.process.wait()


def request(prompt, crs="EPSG:4326"):
    return json.dumps({"id": "1", "output": {"crs": crs}, **prompt}).encode() + b"\n"


def forget(path):
    """Asks the system to drop a file from the page cache, which it does for files that nobody else uses."""
    descriptor = os.open(path, os.O_RDONLY)
    os.fsync(descriptor)
    os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
    os.close(descriptor)


def machine():
    """Processor, cores, memory, system: nothing that names this machine."""
    def field(file, name):
        for line in Path(file).read_text().splitlines():
            key, _, value = line.partition(":")
            if key.strip() == name:
                return value.strip()
        return "unknown"

    memory = field("/proc/meminfo", "MemTotal").split()[0]
    load = os.getloadavg()[0]
    return (f"{field('/proc/cpuinfo', 'model name')}, {os.cpu_count()} cores, {int(memory) / 1e6:.0f} GB of memory, "
            f"{platform.system()} on {platform.machine()}; load average {load:.1f} at the start")
