"""Trains the demo's encoder on freshly drawn scenes.

    python train.py --state DIR [--steps N] [--rate R]

DIR keeps `state.pt` (network, optimizer, step: a later call goes on from there), `best.pt` (the best network so far on the
unseen scenes) and `train.log`. The mask decoder is not trained: decoder.py writes its weights by construction.
"""

import argparse
import math
import time
from pathlib import Path

import numpy as np
import torch
from torch.nn import functional as F

from encoder import OFFSET_UNIT, Encoder
from scene import KINDS, scene

CROP, BATCH = 512, 4
HELD_OUT = range(900_000, 900_016)  # seeds that training never sees


def targets(numbers, objects):
    """Coverage per kind at 1/4 [5, H/4, W/4], offsets at 1/16 [2, H/16, W/16] and where they count [H/16, W/16]."""
    height, width = numbers.shape
    kind_of = np.array([len(KINDS)] + [KINDS.index(thing.kind) for thing in objects])
    onehot = np.eye(len(KINDS) + 1, dtype=np.float32)[kind_of[numbers]][..., : len(KINDS)]
    coverage = onehot.reshape(height // 4, 4, width // 4, 4, -1).mean((1, 3)).transpose(2, 0, 1)
    count = len(objects) + 1
    flat = numbers.ravel()
    area = np.maximum(np.bincount(flat, minlength=count), 1)
    rows, cols = np.divmod(np.arange(flat.size), width)
    middle = np.stack([np.bincount(flat, cols + 0.5, count) / area, np.bincount(flat, rows + 0.5, count) / area], 1)
    tiles = numbers.reshape(height // 16, 16, width // 16, 16).transpose(0, 2, 1, 3).reshape(height // 16, width // 16, -1)
    road = np.isin(tiles, [n + 1 for n, thing in enumerate(objects) if thing.kind == "road"])
    solid = np.where(road, 0, tiles)
    # The object of a tile: the one that covers most of it. Two rarely meet in one tile, so the larger number decides ties.
    best = solid.max(-1)
    least = np.where(solid > 0, solid, count).min(-1)
    least = np.where(least == count, 0, least)
    two = (best != least) & ((solid == best[..., None]).sum(-1) < (solid == least[..., None]).sum(-1))
    best = np.where(two, least, best)
    here = np.stack(np.meshgrid(np.arange(width // 16) * 16 + 8, np.arange(height // 16) * 16 + 8), -1)
    offset = ((middle[best] - here) / OFFSET_UNIT).transpose(2, 0, 1).astype(np.float32)
    return coverage.astype(np.float32), offset, best > 0


class Scenes(torch.utils.data.IterableDataset):
    """Endless batches of fresh scenes."""

    def __init__(self, seed):
        self.seed = seed

    def __iter__(self):
        torch.set_num_threads(1)
        seed = self.seed
        while True:
            parts = []
            for _ in range(BATCH):
                image, numbers, objects = scene(seed, CROP, CROP)
                parts.append((image.transpose(2, 0, 1), *targets(numbers, objects)))
                seed += 1
            yield tuple(torch.from_numpy(np.stack(part)) for part in zip(*parts))


def losses(network, batch):
    image, coverage, offset, counts = batch
    kinds, way = network(image.float())
    seen = F.binary_cross_entropy_with_logits(kinds, coverage, reduction="none")
    probability = kinds.sigmoid()
    overlap = 1 - (2 * (probability * coverage).sum((0, 2, 3)) + 1) / (probability.sum((0, 2, 3)) + coverage.sum((0, 2, 3)) + 1)
    distance = F.smooth_l1_loss(way, offset, beta=0.05, reduction="none").sum(1)
    distance = (distance * counts).sum() / counts.sum().clamp_min(1)
    return 4 * seen.mean() + 0.3 * overlap.mean() + distance


@torch.no_grad()
def evaluate(network):
    """IoU per kind at 1/4 resolution and the error of the centres in pixels, on the held-out scenes."""
    network.eval()
    both, either, error, tiles = np.zeros(len(KINDS)), np.zeros(len(KINDS)), [], 0
    for seed in HELD_OUT:
        image, numbers, objects = scene(seed, CROP, CROP)
        coverage, offset, counts = targets(numbers, objects)
        kinds, way = network(torch.from_numpy(image.transpose(2, 0, 1)[None].copy()).float())
        found, true = kinds[0].numpy() > 0, coverage > 0.5
        both += (found & true).sum((1, 2))
        either += (found | true).sum((1, 2))
        error.append((np.hypot(*(way[0].numpy() - offset)) * OFFSET_UNIT)[counts])
    network.train()
    error = np.concatenate(error)
    return both / np.maximum(either, 1), float(error.mean()), float(np.quantile(error, 0.95))


def main():
    parser = argparse.ArgumentParser(description="Trains the demo's encoder; goes on where an earlier call stopped.")
    parser.add_argument("--state", type=Path, required=True, metavar="DIR")
    parser.add_argument("--steps", type=int, default=3000, help="the step at which the learning rate reaches zero")
    parser.add_argument("--rate", type=float, default=1.5e-3)
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)  # more than there are idle cores makes it slower, not faster
    torch.manual_seed(0)
    options.state.mkdir(parents=True, exist_ok=True)
    log = open(options.state / "train.log", "a", buffering=1)

    def say(text):
        print(text, flush=True)
        log.write(text + "\n")

    network = Encoder().to(memory_format=torch.channels_last)
    optimizer = torch.optim.AdamW(network.parameters(), lr=options.rate, weight_decay=0.01)
    start, best = 0, float("inf")
    if (options.state / "state.pt").exists():
        state = torch.load(options.state / "state.pt")
        network.load_state_dict(state["network"])
        optimizer.load_state_dict(state["optimizer"])
        start, best = state["step"], state["best"]
    say(f"parameters {sum(p.numel() for p in network.parameters()) / 1e6:.2f} M, from step {start} to {options.steps}")
    batches = iter(torch.utils.data.DataLoader(Scenes(start * BATCH), batch_size=None, num_workers=1, prefetch_factor=4))
    mean, clock = [], time.time()
    for step in range(start, options.steps):
        warm = min(1.0, (step + 1) / 100)
        for group in optimizer.param_groups:
            group["lr"] = options.rate * warm * (0.5 + 0.5 * math.cos(math.pi * step / options.steps))
        image, *rest = next(batches)
        loss = losses(network, (image.contiguous(memory_format=torch.channels_last), *rest))
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimizer.step()
        mean.append(loss.item())
        done = step + 1
        if done % 25 == 0:
            say(f"{done} loss {np.mean(mean[-25:]):.4f} {(time.time() - clock) / len(mean):.2f} s/step")
        if done % 250 == 0 or done == options.steps:
            iou, error, tail = evaluate(network)
            figures = " ".join(f"{kind} {value:.3f}" for kind, value in zip(KINDS, iou))
            say(f"EVAL {done} IoU {figures} centre error {error:.1f} px, 95 % below {tail:.1f} px")
            score = float(error / 8 + (1 - iou).sum() * 4)
            if score < best:
                best = score
                torch.save(network.state_dict(), options.state / "best.pt")
            torch.save({"network": network.state_dict(), "optimizer": optimizer.state_dict(), "step": done, "best": best},
                       options.state / "state.pt")


if __name__ == "__main__":
    main()
