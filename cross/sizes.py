#!/usr/bin/env python3
"""Says what the size of a program is made of: sections, and code by crate.

    cross/sizes.py target/cross/build/<triple>/board/geosam-edge

Needs the program with its symbols and GNU nm (binutils), which reads the symbols of any processor's ELF files. A generic
function counts for the crate that defines it, whoever instantiates it: `Vec<T>::push` is `alloc`'s.
"""

import re
import struct
import subprocess
import sys
from collections import Counter

KINDS = {
    ".text": "code",
    ".rodata": "constants",
    ".eh_frame": "unwind tables",
    ".eh_frame_hdr": "unwind tables",
    ".gcc_except_table": "unwind tables",
    ".ARM.exidx": "unwind tables",
    ".ARM.extab": "unwind tables",
    ".data.rel.ro": "tables of pointers",
    ".rela.dyn": "tables of pointers",
    ".rel.dyn": "tables of pointers",
    ".got": "tables of pointers",
}
# Crates that belong together, for a table that fits on a page.
GROUPS = [
    ("tract (operators, graph, kernels)", r"tract_\w+|DynHash\w*|dyn_eq|dyn_hash"),
    ("geosam-edge", r"geosam_edge"),
    ("Rust's standard library", r"std|core|alloc|compiler_builtins|hashbrown|gimli|addr2line|rustc_demangle|object|miniz_oxide"),
    ("TLS (rustls, ring)", r"rustls\w*|ring|webpki|untrusted"),
    ("MQTT (rumqttc, tokio)", r"rumqttc|tokio\w*|mio|flume|bytes|futures\w*"),
    ("Parquet", r"parquet\w*|thrift|snap|flate2"),
    ("state (redb)", r"redb"),
    ("command line, configuration (clap, toml, regex)", r"clap\w*|toml\w*|winnow|regex\w*|aho_corasick|indicatif|console|matchers|tracing\w*"),
    ("geometry and CRS", r"geo|geo_types|geojson|proj4rs|i_\w+|crs_definitions|rstar|geographiclib\w*|spade|robust|flatgeobuf|flatbuffers|tiff|png|geozero"),
    ("JSON and serde", r"serde\w*|ryu|itoa"),
    ("arrays, numbers (ndarray, num, rayon)", r"ndarray|num_\w+|num|rayon\w*|half|matrixmultiply|rustfft|realfft|strength_reduce|transpose|primal_check|num_integer|num_bigint"),
]


def sections(path):
    """Bytes in the file by kind; sections that are not loaded (symbols) left out."""
    with open(path, "rb") as file:
        data = file.read()
    wide, end = data[4] == 2, "<" if data[5] == 1 else ">"
    if data[:4] != b"\x7fELF":
        sys.exit(f"{path} is no ELF file")
    table, = struct.unpack_from(end + ("Q" if wide else "I"), data, 0x28 if wide else 0x20)
    size, count, names = struct.unpack_from(end + "HHH", data, 0x3A if wide else 0x2E)
    layout = end + ("IIQQQQ" if wide else "IIIIII")
    headers = [struct.unpack_from(layout, data, table + i * size) for i in range(count)]
    strings = headers[names][4]
    sums = Counter()
    for name, kind, flags, _, _, length in headers:
        start = strings + name
        text = data[start : data.index(b"\0", start)].decode()
        if flags & 2 and kind != 8:  # loaded, and with bytes in the file
            sums[KINDS.get(text, "other")] += length
    return sums


def crate_of(symbol):
    """The crate that defines a demangled symbol: of `<T as Trait>::f`, the type's or, for another crate's type, the
    trait's; anything that is not Rust is C or assembly."""
    words = re.findall(r"(?:^|[<&( ,*])((?:[a-z_][A-Za-z0-9_]*))::", symbol)
    basic = {"core", "alloc", "std"}
    for word in words:
        if word not in basic:
            return word
    return words[0] if words else "C and assembly"


def main():
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    path = sys.argv[1]
    loaded = sections(path)
    total = sum(loaded.values())
    print(f"{path}: {total / 1e6:.1f} MB without symbols")
    for kind, size in loaded.most_common():
        print(f"  {size / 1e6:6.2f} MB  {kind}")

    output = subprocess.run(["nm", "--print-size", "--demangle", path], capture_output=True, text=True, check=True)
    crates, seen = Counter(), set()
    for line in output.stdout.splitlines():
        parts = re.fullmatch(r"([0-9a-f]+) ([0-9a-f]+) [tTwW] (.*)", line)
        if parts and parts[1] not in seen:
            seen.add(parts[1])
            crates[crate_of(parts[3])] += int(parts[2], 16)
    if not crates:
        sys.exit("it has no symbols; build with cross/build.sh")
    groups = Counter()
    for crate, size in crates.items():
        groups[next((name for name, pattern in GROUPS if re.fullmatch(pattern, crate)), crate)] += size
    print("code by crate:")
    rest = 0
    for name, size in groups.most_common():
        if size < 50_000:
            rest += size
        else:
            print(f"  {size / 1e6:6.2f} MB  {name}")
    print(f"  {rest / 1e6:6.2f} MB  everything smaller")


if __name__ == "__main__":
    main()
