"""The time of one decode, prompt to low-resolution logits on a hot chip: geosam-edge against ONNX Runtime.

    cargo build --release --example decode_time
    python benches/compare/decode.py

Needs numpy and onnxruntime. Both run the same random weights, chip and prompt (one point), in turns, each in a process
that waits meanwhile: ONNX Runtime the usual export (the whole decoder, as Segment Anything is exported everywhere),
geosam-edge its decode on a prepared chip. The answers are compared first. For every family and number of threads the
table gives the medians, the quartiles, the best rounds, and the ratio of medians and of best rounds; the same for
processor time, which other programs on the machine disturb less. Our engines are the fused executor and the plain graphs on tract.
With --old the fused executor of another build takes part too, by its decode_time.
"""

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import onnxruntime

REPOSITORY = Path(__file__).resolve().parents[2]
LOGIT_BAR = 1e-4


class Ours:
    """`decode_time` in steps: one line in, one decode, its times out."""

    def __init__(self, example, family, threads, tokens, engine, export):
        command = [example, family, str(threads), str(tokens), "1000000", "--step", "--engine", engine]
        self.process = subprocess.Popen(
            [*command, "--export", export], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
        )
        if self.process.stdout.readline() != "ready\n":
            sys.exit(f"{' '.join(command)} does not start")

    def run(self):
        self.process.stdin.write("\n")
        self.process.stdin.flush()
        return tuple(map(float, self.process.stdout.readline().split()))

    def close(self):
        self.process.stdin.close()
        self.process.wait()


class OnnxRuntime:
    def __init__(self, directory, threads, points):
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        # Its threads would otherwise take the processor from the other program in the turn that is not theirs.
        options.add_session_config_entry("session.force_spinning_stop", "1")
        self.session = onnxruntime.InferenceSession(
            str(directory / "random.decoder.onnx"), options, providers=["CPUExecutionProvider"]
        )
        names = [i.name for i in self.session.get_inputs()]
        self.inputs = {n: np.load(directory / f"{n}.npy")[None] for n in names if (directory / f"{n}.npy").exists()}
        # The usual export takes a mask, as everybody's does; none is given.
        for i in self.session.get_inputs():
            if i.name in ("mask_input", "has_mask_input"):
                self.inputs[i.name] = np.zeros(i.shape, np.float32)
        coordinates = [[100.0 + 37.5 * i, 900.25 - 41.0 * i] for i in range(points)] + [[0.0, 0.0]]
        self.inputs["point_coords"] = np.array([coordinates], np.float32)
        self.inputs["point_labels"] = np.array([[1.0] * points + [-1.0]], np.float32)

    def answer(self):
        return self.session.run(["low_res_masks", "iou_predictions"], self.inputs)

    def run(self):
        started, busy = time.perf_counter(), time.process_time()
        self.answer()
        return (time.perf_counter() - started) * 1e3, (time.process_time() - busy) * 1e3

    def close(self):
        pass


def measured(runners, rounds):
    """Times of every runner, the order changing from round to round."""
    times = {name: [] for name in runners}
    names = list(runners)
    for i in range(rounds + 3):
        for name in names if i % 2 else reversed(names):
            measurement = runners[name].run()
            if i >= 3:
                times[name].append(measurement)
    return times


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--example", type=Path, default=REPOSITORY / "target/release/examples/decode_time")
    parser.add_argument("--families", nargs="*", default=["sam", "sam2"])
    parser.add_argument("--threads", nargs="*", type=int, default=[1, 2])
    parser.add_argument("--tokens", type=int, default=2, help="prompt tokens: the points and a padding token")
    parser.add_argument("--rounds", type=int, default=50)
    parser.add_argument("--old", type=Path, help="the example decode_time of the build to compare with")
    parser.add_argument("--engines", nargs="*", default=["fused", "tract"], choices=["fused", "tract"])
    arguments = parser.parse_args()
    engines = arguments.engines

    print(f"ONNX Runtime {onnxruntime.__version__}, {os.cpu_count()} processors, {arguments.rounds} rounds in turns\n")
    print("| family | threads | engine | logits' difference | median ms | quartiles | best | of ONNX Runtime: median | best | processor time |")
    print("|---|---|---|---|---|---|---|---|---|---|")
    for family in arguments.families:
        for threads in arguments.threads:
            with tempfile.TemporaryDirectory() as name:
                directory = Path(name)
                runners, difference = {}, {}
                examples = [(engine, arguments.example, engine) for engine in engines]
                if arguments.old:
                    examples.append(("fused, old", arguments.old, "fused"))
                for name, example, engine in examples:
                    runners[name] = Ours(example, family, threads, arguments.tokens, engine, directory)
                    logits = np.load(directory / "low_res_masks.npy")
                    theirs = OnnxRuntime(directory, threads, arguments.tokens - 1)
                    difference[name] = np.abs(theirs.answer()[0][0] - logits).max()
                    if not difference[name] <= LOGIT_BAR:
                        sys.exit(f"{name}, {family}: the logits differ by {difference[name]}")
                runners["onnxruntime"] = theirs
                times = measured(runners, arguments.rounds)
                for runner in runners.values():
                    runner.close()
            reference = np.array(times["onnxruntime"])
            for engine, values in times.items():
                values = np.array(values)
                wall = values[:, 0]
                lower, median, upper = statistics.quantiles(wall, n=4)
                ratios = [
                    median / np.median(reference[:, 0]),
                    wall.min() / reference[:, 0].min(),
                    np.median(values[:, 1]) / np.median(reference[:, 1]),
                ]
                agreed = f"{difference[engine]:.1e}" if engine in difference else ""
                cells = [family, threads, engine, agreed, f"{median:.1f}", f"{lower:.1f} to {upper:.1f}", f"{wall.min():.1f}"]
                print("|", " | ".join(map(str, [*cells, *(f"{r:.2f}" for r in ratios)])), "|", flush=True)


if __name__ == "__main__":
    main()
