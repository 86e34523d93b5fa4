#!/usr/bin/env python3
"""Many prompts on one chip against single decodes: milliseconds a prompt, in turns in one process.

    cargo build --release --example many_prompts
    python3 benches/compare/many.py [--threads 2] [--rounds 5] [--old OTHER/target/release/examples/decode_time]

A grid of 32 x 32 points, as Segment Anything's automatic masks have it, on a chip that geosam encoded (tests/fixtures) with
the decoder of its checkpoint, and on a chip of the demo; the bound is its predicted IoU of 0.88. `single` is one decode after the other,
each on all threads: what clients got who sent a request for each point. With --old they are those of another build, whose
decode_time takes turns with ours, round by round, on random weights of the same family. The ratio is that of the medians. At the end the
answers are compared. Nothing but Python is needed.
"""

import argparse
import re
import statistics
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
CASES = [
    ("mobile_sam", "tests/fixtures/models", "mobile_sam", "tests/fixtures/folder_sam/features/chip_000000.pt"),
    ("sam2.1_t", "tests/fixtures/models", "sam2_t", "tests/fixtures/folder_sam2/features/chip_000000.pt"),
    ("demo", "models/demo/models", "demo", "models/demo/features/features/chip_000000.pt"),
]
FAMILIES = {"mobile_sam": "sam", "sam2.1_t": "sam2", "demo": "sam"}


def told(command):
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--example", type=Path, help="the built example many_prompts")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--old", type=Path, help="the example decode_time of the build to compare with")
    parser.add_argument("--cases", nargs="*", default=[case[0] for case in CASES])
    arguments = parser.parse_args()
    built = [ROOT / "target" / profile / "examples/many_prompts" for profile in ("release", "debug")]
    example = arguments.example or next((path for path in built if path.exists()), None)
    if example is None:
        sys.exit("build the example first: cargo build --release --example many_prompts")
    print(f"{example}, {arguments.threads} threads, {arguments.rounds} rounds\n")
    single_is = "single, old" if arguments.old else "single"
    print(f"| model | kept of 1024 | {single_is} | all, bound 0.88 | ratio | all, no bound | ratio | differences |")
    print("|---|---|---|---|---|---|---|---|")
    for name, models, model, chip in CASES:
        if name not in arguments.cases:
            continue
        rounds = []
        for _ in range(arguments.rounds):
            command = [example, ROOT / models, model, ROOT / chip, str(arguments.threads), "1"]
            first, differences = told(command)
            rounds.append(list(map(float, re.findall(r"[\d.]+", first)))[:4])
            if arguments.old:
                decodes = told([arguments.old, FAMILIES[name], str(arguments.threads), "2", "32"])
                rounds[-1][0] = statistics.mean(float(line.split()[0]) for line in decodes)
        single, bounded, unbounded, kept = (statistics.median(column) for column in zip(*rounds))
        print(
            f"| {name} | {kept:.0f} | {single:.2f} ms | {bounded:.2f} ms | {bounded / single:.2f} "
            f"| {unbounded:.2f} ms | {unbounded / single:.2f} | {differences} |",
            flush=True,
        )


if __name__ == "__main__":
    main()
