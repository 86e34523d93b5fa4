#!/usr/bin/env python3
"""A fresh process to its first mask: two builds of the program in turns.

    python3 benches/compare/start.py OLD NEW [--rounds 40] [--threads 1 2]

For each folder of the repository `geosam-edge segment` answers one point, and ends. The programs take turns, the order changing from
round to round; one round is run before any counts. Told for each: time on the clock (least and median), processor time
of the process (user and system), page faults, and the most memory that was resident (median of the rounds), as wait4(2)
tells them; at last the ratios of NEW to OLD. Processor time, faults and memory hardly depend on what else the machine does. The
answers are compared first. Nothing but Python is needed.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
FIXTURES = ROOT / "tests/fixtures"
CASES = [
    ("demo", ROOT / "models/demo/features", ROOT / "models/demo/models", "EPSG:32632", "512256,5277744"),
    ("mobile_sam", FIXTURES / "folder_sam", FIXTURES / "models", "EPSG:32633", "458120,5427215"),
    ("sam2.1_t", FIXTURES / "folder_sam2", FIXTURES / "models", "EPSG:32633", "458120,5427215"),
]
MEASURES = ["least ms", "median ms", "user + system ms", "page faults", "peak memory MB"]


def once(command):
    """Milliseconds on the clock, of the processor, page faults, MB; and what was printed."""
    started = time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    output = process.stdout.read()
    _, status, usage = os.wait4(process.pid, 0)
    wall = 1e3 * (time.perf_counter() - started)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        sys.exit(f"{' '.join(map(str, command))} ends with {process.returncode}")
    return [wall, 1e3 * (usage.ru_utime + usage.ru_stime), usage.ru_minflt + usage.ru_majflt, usage.ru_maxrss / 1024], output


def pixels(output):
    """Pixels of the mask: what both builds must agree in."""
    features = json.loads(output)["features"]
    return sum(feature["properties"].get("pixels", 0) for feature in features), len(features)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("old", type=Path)
    parser.add_argument("new", type=Path)
    parser.add_argument("--rounds", type=int, default=40)
    parser.add_argument("--threads", nargs="*", type=int, default=[1, 2])
    parser.add_argument("--cases", nargs="*", default=[case[0] for case in CASES])
    options = parser.parse_args()
    programs = {"old": options.old.resolve(), "new": options.new.resolve()}
    print(f"{os.cpu_count()} processors, {options.rounds} rounds in turns, load average {os.getloadavg()[0]:.1f} at the start\n")
    print("| folder | threads | program |", " | ".join(MEASURES), "|")
    print("|---|---|---|" + "---|" * len(MEASURES))
    for name, folder, models, crs, point in CASES:
        if name not in options.cases:
            continue
        for threads in options.threads:
            arguments = ["segment", folder, "--models", models, "--threads", str(threads), "--crs", crs, "--point", point]
            commands = {key: [program, *arguments] for key, program in programs.items()}
            answers = {key: pixels(once(command)[1]) for key, command in commands.items()}
            if abs(answers["old"][0] - answers["new"][0]) > 8:
                sys.exit(f"{name}: the answers differ: {answers}")
            values = {key: [] for key in commands}
            for number in range(options.rounds):
                for key in sorted(commands, reverse=number % 2 == 1):
                    values[key].append(once(commands[key])[0])
            told = {}
            for key in ("old", "new"):
                wall, *others = zip(*values[key])
                told[key] = [min(wall), *(statistics.median(column) for column in (wall, *others))]
                wall_least, wall_median, busy, faults, memory = told[key]
                print(f"| {name} | {threads} | {key} | {wall_least:.1f} | {wall_median:.1f} | {busy:.1f} | {faults:.0f} | {memory:.1f} |")
            ratios = (f"{n / o:.2f}" for o, n in zip(told["old"], told["new"]))
            print(f"| {name} | {threads} | ratio |", " | ".join(ratios), "|", flush=True)


if __name__ == "__main__":
    main()
