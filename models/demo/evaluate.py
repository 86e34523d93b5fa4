"""Measures the demo's masks on scenes that training never saw: IoU per kind, from one point and from a box.

    python evaluate.py ENCODER.pt [--scenes N]

Needs ultralytics (a development tool) for the reference prompt encoder and mask decoder. The point is any pixel of the object,
the box is its bounds, each side moved by up to two pixels.
"""

import argparse
from pathlib import Path

import numpy as np
import torch
from torch.nn import functional as F
from ultralytics.models.sam.build import build_mobile_sam

from decoder import decoder_state
from encoder import Encoder, half
from layout import FRAME, pack
from scene import KINDS, scene

UNSEEN = 800_000  # the first seed; training starts at 0, its own check at 900000
SMALLEST = 350  # pixels; less is left of objects cut by the border


def load_encoder(path):
    network = Encoder().eval()
    network.load_state_dict(torch.load(path))
    return network.to(memory_format=torch.channels_last)


def reference():
    """The reference implementation's prompt encoder and mask decoder with the demo's weights."""
    sam = build_mobile_sam()
    left = sam.load_state_dict(decoder_state(), strict=False)
    assert not left.unexpected_keys and all(name.startswith("image_encoder.") for name in left.missing_keys), left
    return sam.prompt_encoder.eval(), sam.mask_decoder.eval()


@torch.no_grad()
def embed(network, image):
    """The embedding of a frame, rounded as it is stored."""
    tensor = torch.from_numpy(image.transpose(2, 0, 1)[None].copy()).float().contiguous(memory_format=torch.channels_last)
    return half(pack(*network(tensor)))


@torch.no_grad()
def masks(parts, embedding, points=None, labels=None, box=None):
    """The four masks [4, 1024, 1024] of one prompt in frame pixels."""
    prompts, decoder = parts
    points = None if points is None else (torch.tensor([points], dtype=torch.float32), torch.tensor([labels], dtype=torch.int32))
    sparse, dense = prompts(points=points, boxes=None if box is None else torch.tensor([box], dtype=torch.float32), masks=None)
    logits, _ = decoder.predict_masks(image_embeddings=embedding, image_pe=prompts.get_dense_pe(),
                                      sparse_prompt_embeddings=sparse, dense_prompt_embeddings=dense)
    return (F.interpolate(logits, (FRAME, FRAME), mode="bilinear", align_corners=False)[0] > 0).numpy()


def overlap(found, true):
    return float((found & true).sum() / max(1, (found | true).sum()))


def measure(network, scenes, say=print):
    parts, found = reference(), {}
    for seed in range(UNSEEN, UNSEEN + scenes):
        image, numbers, objects = scene(seed, FRAME, FRAME)
        embedding, rng = embed(network, image), np.random.default_rng(seed)
        for thing in objects:
            true = numbers == thing.number
            rows, cols = np.nonzero(true)
            if len(rows) < SMALLEST:
                continue
            pick = rng.integers(len(rows))
            point = [cols[pick], rows[pick]]
            box = np.array([cols.min(), rows.min(), cols.max() + 1, rows.max() + 1]) + rng.integers(-2, 3, 4)
            by_point = overlap(masks(parts, embedding, [point], [1])[0], true)
            by_box = overlap(masks(parts, embedding, box=box.tolist())[0], true)
            found.setdefault(thing.kind, []).append((by_point, by_box))
    for kind in KINDS:
        values = np.array(found.get(kind, np.zeros((0, 2))))
        if len(values):
            good = (values >= 0.8).mean(0)
            say(f"{kind:9} {len(values):4} objects  IoU by point {values[:, 0].mean():.3f} ({good[0]:.0%} at least 0.8)  "
                f"by box {values[:, 1].mean():.3f} ({good[1]:.0%})")
    main_kinds = np.concatenate([found[kind] for kind in KINDS[:3] if kind in found])
    say(f"ponds, woods and buildings together: by point {main_kinds[:, 0].mean():.3f}, by box {main_kinds[:, 1].mean():.3f}")
    return found


def main():
    parser = argparse.ArgumentParser(description="Measures the demo's masks on unseen scenes.")
    parser.add_argument("encoder", type=Path)
    parser.add_argument("--scenes", type=int, default=12)
    options = parser.parse_args()
    torch.set_num_threads(1)
    measure(load_encoder(options.encoder), options.scenes)


if __name__ == "__main__":
    main()
