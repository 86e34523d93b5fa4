#!/usr/bin/env python3
"""Counts the instructions of the main path under callgrind: figures without noise, to compare before and after a change.

    python3 benches/instructions.py [PROGRAM]            # prints the counts
    python3 benches/instructions.py --check [PROGRAM]    # compares with benches/instructions.txt: 3 % at the most, 25 % for the service
    python3 benches/instructions.py --write [PROGRAM]    # writes that file

PROGRAM is the one that the tests have built, with symbols (target/debug/geosam-edge with `--features
demo,tensorrt,tract`), since the counts depend on the profile, and on the compiler: a newer Rust may ask for --write. Valgrind offers AVX2 at the most,
so that any processor that has it gives the same; without it nothing is compared. One thread decodes. Needs valgrind, and for the
request mosquitto with its clients (Debian: mosquitto-clients).

- start to first mask: a whole program that answers one prompt on a folder of tests/fixtures (a rough mask);
- manifest opened, chip prepared, one decode, mask polygonized: what the function takes in it with all that it calls;
- a request through the service: one prompt after the other where there is no chip, at QoS 1; all that the process does more
  for it: bus, journal, folders, answer. Nothing is decoded.
"""

import argparse
import json
import platform
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
FIXTURES = ROOT / "tests/fixtures"
KEPT = ROOT / "benches/instructions.txt"
TOLERANCE = 0.03
# How often threads wake for the same work depends on how busy the machine is: runs of one program differ by 11 %.
TOLERANCES = {"a request through the service": 0.25}
FUNCTIONS = {
    "manifest opened": r"^geosam_edge::catalog::folder::Folder::open$",
    "chip prepared": r"FusedDecoder as .*MaskDecoder>::prepare_owned$",
    "one decode": r"FusedDecoder as .*MaskDecoder>::decode$",
    "mask polygonized": r"^geosam_edge::mask::polygonize::polygonize$",
}
FEW, MANY = 3, 18


def counted(file):
    """The sum of a callgrind file, and for each function its calls and what they took with all that they called."""
    names, calls, inclusive, total, called, count = {}, Counter(), Counter(), 0, None, None
    for line in open(file):
        if count is not None:
            inclusive[called] += int(line.split()[1])
            count = None
        elif line.startswith("cfn="):
            number, _, name = line[4:].strip().partition(" ")
            called = names.setdefault(number, name)
        elif line.startswith("fn="):
            number, _, name = line[3:].strip().partition(" ")
            names.setdefault(number, name)
        elif line.startswith("calls="):
            count = int(line[6:].split()[0])
            calls[called] += count
        elif line.startswith(("summary: ", "totals: ")):
            total = int(line.split()[1])
    return total, calls, inclusive


def callgrind(out, *command, **options):
    return subprocess.Popen(["valgrind", "--tool=callgrind", f"--callgrind-out-file={out}", *command],
                            stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, **options)


def segment(program, work):
    """A program that answers one prompt, under callgrind."""
    prompt = {"points": [[458120, 5427215]], "labels": [1], "crs": "EPSG:32633"}
    (work / "requests").write_text(json.dumps(prompt) + "\n")
    command = [program, "segment", FIXTURES / "folder_sam", "--models", FIXTURES / "models", "--threads", "1",
               "--request", work / "requests", "--output", work / "answers"]
    process = callgrind(work / "out", *command)
    try:
        _, errors = process.communicate(timeout=1200)
    finally:
        process.kill()
    if process.returncode or json.loads((work / "answers").read_text())["status"] != "ok":
        sys.exit(f"{errors.decode()}\n{program} does not answer")
    total, calls, inclusive = counted(work / "out")
    yield "start to first mask", total
    for what, pattern in FUNCTIONS.items():
        found = [name for name in calls if re.search(pattern, name)]
        if not found:
            sys.exit(f"no calls of {pattern}: has the program symbols?")
        yield what, sum(inclusive[name] for name in found) // sum(calls[name] for name in found)


def service(program, work, requests):
    """What a service takes that answers so many requests, one after the other, and ends."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    (work / "mosquitto.conf").write_text(f"listener {port} 127.0.0.1\nallow_anonymous true\n")
    broker = subprocess.Popen(["mosquitto", "-c", work / "mosquitto.conf"], stderr=subprocess.DEVNULL)
    state = tempfile.TemporaryDirectory()
    board = None
    try:
        time.sleep(1)
        board = callgrind(work / "out", program, "serve", "--device", "b", "--broker", f"mqtt://127.0.0.1:{port}", "--features",
                          FIXTURES / "folder_sam", "--models", FIXTURES / "models", "--state", state.name, "--engine", "fused")
        here = ["-h", "127.0.0.1", "-p", str(port), "-q", "1"]
        subprocess.run(["mosquitto_sub", *here, "-t", "geosam/b/folder/folder_sam", "-C", "1", "-W", "600"], check=True,
                       stdout=subprocess.DEVNULL)
        for number in range(requests):
            message = json.dumps({"id": str(number), "folder": "folder_sam", "points": [[10.0, 40.0]]})
            answer = subprocess.run(["mosquitto_rr", *here, "-t", "geosam/b/request/me/segment", "-e", "geosam/b/response/me/segment",
                                     "-m", message, "-W", "300"], check=True, capture_output=True, text=True).stdout
            if json.loads(answer)["error"]["code"] != "NO_CHIP_COVERS":
                sys.exit(f"another answer: {answer}")
        # What is published after the answer.
        time.sleep(1)
        board.terminate()
        board.communicate(timeout=600)
    finally:
        for process in (board, broker):
            if process and process.poll() is None:
                process.kill()
                process.wait()
        state.cleanup()
    return counted(work / "out")[0]


def measured(program):
    with tempfile.TemporaryDirectory() as name:
        work = Path(name)
        counts = dict(segment(program, work))
        if shutil.which("mosquitto") and shutil.which("mosquitto_rr"):
            few, many = (service(program, work, requests) for requests in (FEW, MANY))
            counts["a request through the service"] = (many - few) // (MANY - FEW)
        else:
            print("mosquitto is not here: the request through the service is not counted", file=sys.stderr)
    return counts


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("program", type=Path, nargs="?", default=ROOT / "target/debug/geosam-edge")
    parser.add_argument("--check", action="store_true")
    parser.add_argument("--write", action="store_true")
    options = parser.parse_args()
    if platform.machine() != "x86_64" or "avx2" not in Path("/proc/cpuinfo").read_text():
        sys.exit("SKIPPED: counts are those of a processor with AVX2" if not options.check else 0)
    compiler = subprocess.run(["rustc", "--version"], capture_output=True, text=True).stdout.strip()
    if options.check and compiler not in KEPT.read_text():
        # Another compiler makes other code of the same source.
        print(f"SKIPPED: this is {compiler}; {KEPT.read_text().splitlines()[0]}")
        return
    counts = measured(options.program.resolve())
    text = "".join(f"{count / 1e6:10.3f}  {what}\n" for what, count in counts.items())
    print(f"millions of instructions:\n{text}", end="")
    if options.write:
        KEPT.write_text(f"# Millions of instructions, by benches/instructions.py --write; {compiler}\n{text}")
    if options.check:
        kept = {}
        for line in KEPT.read_text().splitlines():
            if not line.startswith("#"):
                number, _, what = line.strip().partition("  ")
                kept[what] = float(number)
        others = [what for what, count in counts.items()
                  if what not in kept or abs(count / 1e6 / kept[what] - 1) > TOLERANCES.get(what, TOLERANCE)]
        for what in others:
            print(f"{what}: {counts[what] / 1e6:.3f} million, was {kept.get(what, 0):.3f}", file=sys.stderr)
        if others:
            sys.exit("more than 3 % (the service: 25 %) from benches/instructions.txt; where that is meant, run benches/instructions.py --write")


if __name__ == "__main__":
    main()
