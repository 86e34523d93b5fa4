#!/usr/bin/env python3
"""Runs every comparison that the speed goals are held against, and prints the table.

    python3 benches/compare/run.py                       # everything; half an hour
    python3 benches/compare/run.py --only prompts service
    python3 benches/compare/run.py --write               # and puts the table into docs/performance.md

The peers (geosam, ultralytics, torch, ONNX Runtime, rasterio) are installed from PyPI into a virtual environment below
target/, unless the Python that runs this has them. Ours is built with `cargo build --release`. Ours and theirs take turns; the
answers are compared before any time counts. mosquitto is needed for goals 5 and 7. Run it on a quiet machine: the load
average at the start is printed. Building the examples in release rebuilds some dependencies; to take those of the other profile instead:

    CARGO_PROFILE_DEV_OPT_LEVEL=3 cargo build --features demo --examples && cargo build --release
    python3 benches/compare/run.py --no-build --examples target/debug/examples
"""

import argparse
import datetime
import os
import re
import subprocess
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))

import peers  # noqa: E402
from measure import HEADER, REPOSITORY, Row, machine  # noqa: E402

SECTIONS = ["decode", "prompts", "everything", "polygons", "service", "million", "pack"]
BEGIN, END = "<!-- measured: begin -->", "<!-- measured: end -->"


def build(options):
    examples = ["--example", "polygonize_time", "--example", "million_chips"]
    if (REPOSITORY / "benches/compare/decode.py").exists():
        examples += ["--example", "decode_time"]
    subprocess.run(["cargo", "build", "--release", "--bin", "geosam-edge", *examples], cwd=REPOSITORY, check=True)


def decode(examples):
    """Goal 1 is measured by a program of its own, whose tables are taken as they are."""
    script = REPOSITORY / "benches/compare/decode.py"
    if not script.exists():
        return [], "decode.py is not here: goal 1 is not measured"
    run = subprocess.run([sys.executable, script, "--example", examples / "decode_time"], cwd=REPOSITORY, capture_output=True, text=True)
    return [], run.stdout + ("" if run.returncode == 0 else f"\ndecode.py failed:\n\n{run.stderr[-2000:]}")


def million(program):
    """Goal 6, from the lines that the example prints."""
    lines = subprocess.run([program], check=True, capture_output=True, text=True).stdout.splitlines()

    def number(name, pattern):
        line = next(line for line in lines if line.startswith(name))
        return float(re.search(pattern, line)[1])

    memory = number("memory after", r"highest (\d+)")
    return [Row("6", "opening a manifest of a million chips", [number("open", r"([\d.]+) s")], bar=2, unit="s"),
            Row("6", "memory with it open", [memory], bar=300, unit="MB"),
            Row("6", "choosing a chip by a point", [number("choose by a point", r"(\d+) ns") / 1e3], bar=10, unit="µs")]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="*", choices=SECTIONS, default=SECTIONS)
    parser.add_argument("--corpus", type=Path, help="a folder mobile_sam with checkpoints/mobile_sam.pt, as a case more")
    parser.add_argument("--threads", type=int, nargs="*", default=[os.cpu_count()])
    parser.add_argument("--rounds", type=int, default=10, help="rounds of hot prompts on every chip")
    parser.add_argument("--cold-rounds", type=int, default=5)
    parser.add_argument("--sides", type=int, nargs="*", default=[1024, 4096])
    parser.add_argument("--seconds", type=float, default=20, help="of sustained previews")
    parser.add_argument("--work", type=Path, default=REPOSITORY / "target/compare")
    parser.add_argument("--no-build", action="store_true")
    parser.add_argument("--examples", type=Path, help="where the examples are [default: target/release/examples]")
    parser.add_argument("--write", action="store_true", help="replace the table in docs/performance.md")
    parser.add_argument("--fresh", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.fresh:
        peers.fresh(options.fresh)
        return
    options.work.mkdir(parents=True, exist_ok=True)
    options.work = options.work.resolve()
    peers.ensure(options.work / "venv")
    if not options.no_build:
        build(options)

    import everything
    import pack
    import polygons
    import prompts
    import service

    release = REPOSITORY / "target/release"
    program, examples = release / "geosam-edge", (options.examples or release / "examples").resolve()
    begin = [f"Measured on {datetime.date.today()}: {machine()}.", f"Peers: {peers.versions()}.", ""]
    rows, more = [], []
    if "decode" in options.only:
        found, text = decode(examples)
        rows, more = rows + found, [text.strip(), ""]
        print(text, flush=True)

    def tell(found):
        for row in found:
            print(row.markdown(), flush=True)
        rows.extend(found)

    print(HEADER)
    if "prompts" in options.only:
        for threads in options.threads:
            tell(prompts.measure(program, options.work, options.corpus, threads, options.rounds, options.cold_rounds))
    if "everything" in options.only:
        for threads in options.threads:
            tell(everything.measure(program, options.work, threads, options.cold_rounds))
    if "polygons" in options.only:
        tell(polygons.measure(examples / "polygonize_time", options.sides, 3))
    if "service" in options.only:
        tell(service.measure(program, options.work, options.seconds))
    if "million" in options.only:
        tell(million(examples / "million_chips"))
    if "pack" in options.only:
        tell(pack.measure(program, options.work, options.corpus))
    text = "\n".join([*begin, *more, HEADER, *(row.markdown() for row in rows)])
    (options.work / "table.md").write_text(text + "\n")
    if options.write:
        page = REPOSITORY / "docs/performance.md"
        old = page.read_text()
        page.write_text(re.sub(f"{BEGIN}.*{END}", lambda _: f"{BEGIN}\n{text}\n{END}", old, flags=re.S))


if __name__ == "__main__":
    main()
