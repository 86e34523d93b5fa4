#!/usr/bin/env python3
"""The hot loops of the NEON kernels as llvm-mca sees them: cycles against the bound of their multiply-adds.

    cross/build.sh arm64
    python3 benches/neon.py target/cross/build/aarch64-unknown-linux-gnu/board/geosam-edge

No ARM processor is needed. From the disassembly of the program (with its symbols) the basic blocks of the fused executor that
hold at least --least multiply-adds are taken: bodies of inner loops, and what the compiler has unrolled. llvm-mca runs each
a hundred times on its model of a processor. Its bound is what the multiply-adds alone would take there (the sum of their
reciprocal throughputs); a share of 1.00 means that loads and all else cost nothing. Caches are not modelled: every load hits.

LLVM has no models of their own for A72, A76 and A78: it takes the one of A57, whose multiply-add of four lanes keeps both vector
pipes for a cycle. Neoverse N1, which is A76 for servers, has one and is therefore named too.
Needs llvm-mca and llvm-objdump (Debian: llvm-19); --llvm -19 takes those of that version.
"""

import argparse
import collections
import json
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

PROCESSORS = ["cortex-a53", "cortex-a72", "cortex-a76", "cortex-a78", "neoverse-n1"]
BRANCH = re.compile(r"^(b|b\.\w+|cbn?z|tbn?z|br|blr?|ret|udf|brk)$")
KERNELS = re.compile(r"decoder::fused::")
MULTIPLY_ADD = re.compile(r"^fml[as]\t.*\.4s")


def functions(llvm, program):
    """Name and instructions (address, text) of each function of the fused executor."""
    command = [f"llvm-objdump{llvm}", "-d", "--no-show-raw-insn", "--demangle", program]
    name, instructions = None, []
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        for line in process.stdout:
            if begin := re.match(r"^[0-9a-f]+ <(.*)>:$", line):
                if name and instructions:
                    yield name, instructions
                name, instructions = begin[1] if KERNELS.search(begin[1]) else None, []
            elif name and (found := re.match(r"^\s*([0-9a-f]+):\s+(.*)$", line)):
                instructions.append((int(found[1], 16), re.sub(r"\s*(<.*>|//.*)$", "", found[2].strip())))
        if name and instructions:
            yield name, instructions


def blocks(instructions):
    """Basic blocks, and whether each is a loop by itself."""
    targets = {int(found[1], 16) for _, text in instructions
               if BRANCH.match(text.split("\t")[0]) and (found := re.search(r"0x([0-9a-f]+)$", text))}
    block = []
    for address, text in instructions:
        if address in targets and block:
            yield block, False
            block = []
        branches = BRANCH.match(text.split("\t")[0])
        block.append((address, text))
        if branches and not text.startswith("bl"):
            found = re.search(r"0x([0-9a-f]+)$", text)
            yield block, bool(found) and int(found[1], 16) == block[0][0]
            block = []
    if block:
        yield block, False


def assembly(block):
    """What llvm-mca reads: branches go nowhere, addresses are no matter."""
    lines = []
    for _, text in block:
        mnemonic = text.split("\t")[0]
        if mnemonic in ("adrp", "adr", "bl", "blr", "udf", "brk"):
            continue
        lines.append(re.sub(r"0x[0-9a-f]+$", "#16", text) if BRANCH.match(mnemonic) else text)
    return "\n".join(lines) + "\n"


def analysed(llvm, processor, text):
    """Cycles of one run, and the bound of its multiply-adds."""
    with tempfile.NamedTemporaryFile("w", suffix=".s") as file:
        file.write(text)
        file.flush()
        command = [f"llvm-mca{llvm}", "-mtriple=aarch64-linux-gnu", f"-mcpu={processor}", "-mattr=+neon", "-iterations=100", "-json"]
        run = subprocess.run([*command, file.name], capture_output=True, text=True)
    if run.returncode:
        sys.exit(run.stderr)
    region = json.loads(run.stdout)["CodeRegions"][0]
    each = [i["RThroughput"] for i in region["InstructionInfoView"]["InstructionList"]]
    bound = sum(t for t, line in zip(each, region["Instructions"]) if MULTIPLY_ADD.match(line))
    summary = region["SummaryView"]
    return summary["TotalCycles"] / summary["Iterations"], bound


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("program", type=Path)
    parser.add_argument("--llvm", default="", help="the suffix of the tools' names, as -19")
    parser.add_argument("--least", type=int, default=16, help="multiply-adds that a block must hold")
    parser.add_argument("--processors", nargs="*", default=PROCESSORS)
    parser.add_argument("--show", action="store_true", help="print the code of each block")
    options = parser.parse_args()

    found = collections.OrderedDict()
    for name, instructions in functions(options.llvm, options.program):
        for block, loops in blocks(instructions):
            text = assembly(block)
            adds = sum(bool(MULTIPLY_ADD.match(line)) for line in text.splitlines())
            if adds >= options.least:
                # The same code in two places, but for its registers and offsets, is one loop.
                shape = tuple(line.split("\t")[0] for line in text.splitlines())
                kept = found.setdefault(shape, [name, loops, adds, text, 0])
                kept[4] += 1
    if not found:
        sys.exit("no multiply-adds of the fused executor: is this an aarch64 program with its symbols?")
    print("| block | places | instructions | multiply-adds | loads |", " | ".join(f"{p}: cycles, share" for p in options.processors), "|")
    print("|---|---|---|---|---|" + "---|" * len(options.processors))
    sums = {processor: [0.0, 0.0] for processor in options.processors}
    for shape, (name, loops, adds, text, places) in sorted(found.items(), key=lambda item: -item[1][2]):
        loads = sum(word.startswith("ld") for word in shape)
        cells = []
        for processor in options.processors:
            cycles, bound = analysed(options.llvm, processor, text)
            sums[processor][0] += places * bound
            sums[processor][1] += places * cycles
            cells.append(f"{cycles:.0f}, {bound / cycles:.2f}")
        kind = "loop" if loops else "straight"
        short = re.sub(r"^.*decoder::fused::", "", name)
        short = re.sub(r"<.*", "", short)[:40]
        print(f"| {short}: {kind} | {places} | {len(shape)} | {adds} | {loads} |", " | ".join(cells), "|")
        if options.show:
            print(text)
    print("| all together | | | | |", " | ".join(f"{bound / cycles:.2f}" for bound, cycles in sums.values()), "|")


if __name__ == "__main__":
    main()
