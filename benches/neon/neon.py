#!/usr/bin/env python3
"""The hot loops of the NEON kernels as llvm-mca sees them: cycles against the bound of their multiply-adds.

    rustup target add aarch64-unknown-linux-gnu
    python3 benches/neon/neon.py [--llvm -19] [--show]

No ARM processor is needed. kernels.rs beside it is compiled, which has the program's own products in functions of their own; --program FILE
takes an aarch64 build of the whole program instead, with its symbols (cross/build.sh arm64). The basic blocks that
hold at least --least multiply-adds are taken: bodies of inner loops, and what the compiler has unrolled. llvm-mca runs each
a hundred times on its model of a processor. Its bound is what the multiply-adds alone would take there (the sum of their
reciprocal throughputs); a share of 1.00 means that loads and all else cost nothing. Caches are not modelled: every load hits.

LLVM has no models of their own for A72, A76 and A78: it takes the one of A57, whose multiply-add of four lanes keeps both vector
pipes for a cycle. Neoverse N1, which is A76 for servers, has one and is therefore named too.
Needs rustc, llvm-mca and llvm-objdump (Debian: llvm-19); --llvm -19 takes those of that version.
"""

import argparse
import collections
import json
import re
import subprocess
import sys
import tempfile
from pathlib import Path

PROCESSORS = ["cortex-a53", "cortex-a72", "cortex-a76", "cortex-a78", "neoverse-n1"]
BRANCH = re.compile(r"^(b|b\.\w+|cbn?z|tbn?z|br|blr?|ret|udf|brk)$")
KERNELS = re.compile(r"decoder::fused::|^kernels::")
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


def named(function):
    """A function's name without its crate, parameters and hash."""
    short = re.sub(r"^.*(decoder::fused|kernels)::", "", re.sub(r"::h[0-9a-f]{16}$", "", function))
    return re.sub(r"<.*", "", short)[:40]


def blocks(instructions):
    """Basic blocks."""
    targets = {int(found[1], 16) for _, text in instructions
               if BRANCH.match(text.split("\t")[0]) and (found := re.search(r"0x([0-9a-f]+)$", text))}
    block = []
    for address, text in instructions:
        if address in targets and block:
            yield block
            block = []
        branches = BRANCH.match(text.split("\t")[0])
        block.append((address, text))
        if branches and not text.startswith("bl"):
            yield block
            block = []
    if block:
        yield block


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


def compiled(directory):
    """The kernels alone."""
    target = directory / "kernels.o"
    command = ["rustc", "--edition", "2024", "--crate-type", "lib", "--crate-name", "kernels", "--target", "aarch64-unknown-linux-gnu",
               "-C", "opt-level=3", "-C", "codegen-units=1", "--emit=obj", "-o", target, Path(__file__).with_name("kernels.rs")]
    subprocess.run(command, check=True)
    return target


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--program", type=Path)
    parser.add_argument("--llvm", default="", help="the suffix of the tools' names, as -19")
    parser.add_argument("--least", type=int, default=16, help="multiply-adds that a block must hold")
    parser.add_argument("--processors", nargs="*", default=PROCESSORS)
    parser.add_argument("--show", action="store_true", help="print the code of each block")
    options = parser.parse_args()

    directory = tempfile.TemporaryDirectory()
    program = options.program or compiled(Path(directory.name))
    found = collections.OrderedDict()
    for name, instructions in functions(options.llvm, program):
        for block in blocks(instructions):
            text = assembly(block)
            adds = sum(bool(MULTIPLY_ADD.match(line)) for line in text.splitlines())
            if adds >= options.least:
                # The same code in two places, but for its registers and offsets, is one loop.
                shape = tuple(line.split("\t")[0] for line in text.splitlines())
                kept = found.setdefault(shape, [[], adds, text])
                kept[0].append(named(name))
    if not found:
        sys.exit("no multiply-adds of the fused executor: is this an aarch64 program with its symbols?")
    print("| where | instructions | multiply-adds | loads |", " | ".join(f"{p}: cycles, share" for p in options.processors), "|")
    print("|---|---|---|---|" + "---|" * len(options.processors))
    for shape, (names, adds, text) in sorted(found.items(), key=lambda item: item[1][1]):
        loads = sum(word.startswith("ld") for word in shape)
        cells = []
        for processor in options.processors:
            cycles, bound = analysed(options.llvm, processor, text)
            cells.append(f"{cycles:.1f}, {bound / cycles:.2f}")
        where = ", ".join(dict.fromkeys(names))
        print(f"| {where} | {len(shape)} | {adds} | {loads} |", " | ".join(cells), "|")
        if options.show:
            print(text)


if __name__ == "__main__":
    main()
