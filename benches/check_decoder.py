#!/usr/bin/env python3
"""Compares the decoder with the reference implementation and with ONNX Runtime, on random weights and features.

    python -m venv venv && venv/bin/pip install ultralytics onnx onnxruntime
    cargo build --release --example decode_arrays
    venv/bin/python benches/check_decoder.py

For every family and for features in f32, f16 and bf16, the same prompts go through
  - the modules of `ultralytics` in torch (the truth),
  - `examples/decode_arrays` (this crate's decoder),
  - the ONNX files that the crate exports, whole and as the split pair, in ONNX Runtime;
the worst differences are printed, and the exit code is 1 if a bar is missed. Some prompts start from a mask, low-resolution
logits that go through the reference's own convolutions. With `--binary` the weights take the way
of a user: a checkpoint with the family's prefixes is written and imported with `geosam-edge import-model`.
"""

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import torch
from torch import nn
from ultralytics.models.sam.modules.blocks import SAM2TwoWayTransformer
from ultralytics.models.sam.modules.decoders import MaskDecoder, SAM2MaskDecoder
from ultralytics.models.sam.modules.encoders import PromptEncoder
from ultralytics.models.sam.modules.transformer import TwoWayTransformer

ROOT = Path(__file__).resolve().parent.parent
FAMILIES = {"sam": (64, 1024), "sam2": (64, 1024), "sam3": (72, 1008)}
PREFIXES = {
    "sam": ("prompt_encoder.", "mask_decoder."),
    "sam2": ("sam_prompt_encoder.", "sam_mask_decoder."),
    "sam3": ("tracker.sam_prompt_encoder.", "tracker.sam_mask_decoder."),
}
LOGIT_BAR, SCORE_BAR = 1e-5, 1e-5
DTYPES = {"F32": torch.float32, "F16": torch.float16, "BF16": torch.bfloat16}
PROMPTS = [
    {"points": [[500.25, 375.5, 1]], "bbox": None},
    {"points": [], "bbox": [75.0, 275.125, 725.0, 850.75]},
    {"points": [[575.0, 750.0, 0], [12.5, 990.0, 1]], "bbox": [425.0, 600.0, 700.0, 875.0]},
    {"points": [[100.0 + 61.3 * i, 20.0 + 71.7 * (i % 7), i % 2] for i in range(6)], "bbox": None},
    {"points": [[40.0 + 48.1 * i, 900.0 - 51.9 * (i % 11), (i + 1) % 2] for i in range(18)], "bbox": None},
    {"points": [[500.25, 375.5, 1]], "bbox": None, "mask": "noise"},
    {"points": [[575.0, 750.0, 0]], "bbox": [425.0, 600.0, 700.0, 875.0], "mask": "disc"},
    {"points": [[40.0 + 48.1 * i, 900.0 - 51.9 * (i % 11), (i + 1) % 2] for i in range(18)], "bbox": None, "mask": "noise"},
]


def mask_prompts(family):
    """Low-resolution logits: a disc with soft edges, and noise, in the range of real ones."""
    side = 4 * FAMILIES[family][0]
    y, x = torch.meshgrid(torch.arange(side), torch.arange(side), indexing="ij")
    disc = 12 - 0.3 * ((x - 0.55 * side) ** 2 + (y - 0.7 * side) ** 2).float().sqrt()
    noise = 8 * torch.randn((side, side), generator=torch.Generator().manual_seed(3))
    return {"disc": disc.clamp(-32, 32), "noise": noise}


def write_safetensors(path, tensors):
    """The format in a few lines: length of the header, header as JSON, data."""
    header, data = {}, b""
    for name, tensor in tensors.items():
        tensor = tensor.detach().contiguous()
        dtype = next(k for k, v in DTYPES.items() if v == tensor.dtype)
        raw = tensor.view(torch.uint8).numpy().tobytes() if tensor.dim() else tensor.numpy().tobytes()
        header[name] = {"dtype": dtype, "shape": list(tensor.shape), "data_offsets": [len(data), len(data) + len(raw)]}
        data += raw
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    path.write_bytes(len(text).to_bytes(8, "little") + text + data)


def read_safetensors(path):
    raw = path.read_bytes()
    end = 8 + int.from_bytes(raw[:8], "little")
    result = {}
    for name, info in json.loads(raw[8:end]).items():
        if name != "__metadata__":
            assert info["dtype"] == "F32", (name, info)
            first, last = info["data_offsets"]
            result[name] = np.frombuffer(raw[end + first : end + last], "<f4").reshape(info["shape"])
    return result


def modules(family, seed):
    """The reference's prompt encoder and decoder with random weights."""
    torch.manual_seed(seed)
    grid, frame = FAMILIES[family]
    encoder = PromptEncoder(256, (grid, grid), (frame, frame), 16)
    sizes = dict(depth=2, embedding_dim=256, mlp_dim=2048, num_heads=8)
    if family == "sam":
        decoder = MaskDecoder(transformer_dim=256, transformer=TwoWayTransformer(**sizes))
    else:
        decoder = SAM2MaskDecoder(
            transformer_dim=256,
            # SAM 3 went back to SAM's blocks, whose MLP has other names.
            transformer=(TwoWayTransformer if family == "sam3" else SAM2TwoWayTransformer)(**sizes),
            use_high_res_features=True,
            iou_prediction_use_sigmoid=True,
            pred_obj_scores=True,
            pred_obj_scores_mlp=True,
            use_multimask_token_for_obj_ptr=True,
            dynamic_multimask_via_stability=True,
        )
    # Norms are created as the identity: give every weight something to say.
    for module in [*encoder.modules(), *decoder.modules()]:
        if isinstance(module, nn.LayerNorm) or type(module).__name__ == "LayerNorm2d":
            nn.init.normal_(module.weight, 1.0, 0.2)
            nn.init.normal_(module.bias, 0.0, 0.2)
    return encoder.eval(), decoder.eval()


def features(family, dtype, seed):
    generator = torch.Generator().manual_seed(seed)
    grid = FAMILIES[family][0]
    shapes = {"image_embed": (256, grid, grid)}
    if family != "sam":
        shapes |= {"quarter": (32, 4 * grid, 4 * grid), "half": (64, 2 * grid, 2 * grid)}
    return {k: torch.randn(s, generator=generator).to(DTYPES[dtype]) for k, s in shapes.items()}


def points_and_labels(family, prompt):
    """The prompt as the exported graphs take it, padding included."""
    points = [p[:2] for p in prompt["points"]]
    labels = [int(p[2]) for p in prompt["points"]]
    corners = [prompt["bbox"][:2], prompt["bbox"][2:]] if prompt["bbox"] else []
    if family == "sam":
        points, labels = points + (corners or [[0, 0]]), labels + ([2, 3] if corners else [-1])
    else:
        points, labels = corners + points + [[0, 0]], [2, 3][: len(corners)] + labels + [-1]
    return np.array([points], np.float32), np.array([labels], np.float32)


@torch.no_grad()
def reference(family, encoder, decoder, chip, prompt):
    """All four masks and scores, and the index of the single mask."""
    points = torch.tensor([[p[:2] for p in prompt["points"]]]).reshape(1, -1, 2)
    labels = torch.tensor([[int(p[2]) for p in prompt["points"]]], dtype=torch.int32)
    boxes = torch.tensor([prompt["bbox"]]) if prompt["bbox"] else None
    if family != "sam" and boxes is not None:
        points = torch.cat([boxes.reshape(1, 2, 2), points], 1)
        labels = torch.cat([torch.tensor([[2, 3]], dtype=torch.int32), labels], 1)
        boxes = None
    given = (points, labels) if points.shape[1] else None
    mask = mask_prompts(family)[prompt["mask"]][None, None] if prompt.get("mask") else None
    sparse, dense = encoder(points=given, boxes=boxes, masks=mask)
    common = dict(
        image_embeddings=chip["image_embed"].float()[None],
        image_pe=encoder.get_dense_pe(),
        sparse_prompt_embeddings=sparse,
        dense_prompt_embeddings=dense,
    )
    if family == "sam":
        masks, scores = decoder.predict_masks(**common)
        return masks[0].numpy(), scores[0].numpy(), 0
    common |= dict(repeat_image=False, high_res_features=[chip[k].float()[None] for k in ("quarter", "half")])
    masks, scores, _, _ = decoder.predict_masks(**common)
    single, _ = decoder._dynamic_multimask_via_stability(masks, scores)
    selected = next(i for i in range(4) if torch.equal(masks[0, i], single[0, 0]))
    return masks[0].numpy(), scores[0].numpy(), selected


def session(path):
    onnx.checker.check_model(str(path), full_check=True)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])


def onnx_runs(directory, family, chip, prompts):
    """Answers of the whole graph and of the split ones, per prompt."""
    arrays = {"image_embeddings": chip["image_embed"].float()[None].numpy()}
    if family != "sam":
        arrays["high_res_feats_0"] = chip["quarter"].float()[None].numpy()
        arrays["high_res_feats_1"] = chip["half"].float()[None].numpy()
    whole, prepare, decode, mask = (session(directory / f"random.{p}.onnx") for p in ("decoder", "prepare", "decode", "mask"))
    unmasked = dict(zip([o.name for o in prepare.get_outputs()], prepare.run(None, arrays)))
    side = 4 * FAMILIES[family][0]
    for prompt in prompts:
        points, labels = points_and_labels(family, prompt)
        given = {"point_coords": points, "point_labels": labels}
        names = ["low_res_masks", "iou_predictions"]
        logits, prepared = np.zeros((1, 1, side, side), np.float32), unmasked
        if prompt.get("mask"):
            logits = mask_prompts(family)[prompt["mask"]][None, None].numpy()
            taken = [i.name for i in mask.get_inputs()]
            changed = mask.run(None, {n: a for n, a in (unmasked | {"mask_input": logits}).items() if n in taken})
            changed = zip([o.name.removeprefix("masked_") for o in mask.get_outputs()], changed)
            prepared = unmasked | dict(changed)
        mask_inputs = {"mask_input": logits, "has_mask_input": np.array([bool(prompt.get("mask"))], np.float32)}
        yield [[x[0] for x in s.run(names, given | a)] for s, a in ((whole, arrays | mask_inputs), (decode, prepared))]


def import_weights(binary, directory, family, state):
    """The way of a user: a checkpoint with prefixes, imported; gives the decoder's file."""
    prompt, mask = PREFIXES[family]
    named = {
        (prompt if k.startswith("prompt_encoder.") else mask) + k.split(".", 1)[1]: v for k, v in state.items()
    }
    checkpoint = directory / {"sam": "sam_b.pt", "sam2": "sam2.1_t.pt", "sam3": "sam3.pt"}[family]
    torch.save({"model": named}, checkpoint)
    models = directory / "models"
    subprocess.run([binary, "import-model", checkpoint, "--models", models, "--name", family], check=True)
    return models / family / "decoder.safetensors"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--example", type=Path, help="the built example decode_arrays")
    parser.add_argument("--binary", type=Path, help="geosam-edge, to import the weights with")
    parser.add_argument("--families", nargs="*", default=list(FAMILIES))
    arguments = parser.parse_args()
    built = [ROOT / "target" / profile / "examples/decode_arrays" for profile in ("release", "debug")]
    example = arguments.example or next((p for p in built if p.exists()), None)
    if example is None:
        sys.exit("build the example first: cargo build --release --example decode_arrays")

    failed = False
    print("| family | features | our logits | our scores | ORT whole | ORT split | logits' std | masks chosen |")
    print("|---|---|---|---|---|---|---|---|")
    for family in arguments.families:
        encoder, decoder = modules(family, seed=1)
        state = {f"prompt_encoder.{k}": v for k, v in encoder.state_dict().items()}
        state |= {f"mask_decoder.{k}": v for k, v in decoder.state_dict().items()}
        for dtype in DTYPES:
            with tempfile.TemporaryDirectory() as name:
                directory = Path(name)
                chip = features(family, dtype, seed=2)
                write_safetensors(directory / "chip.safetensors", chip)
                weights = directory / "weights.safetensors"
                if arguments.binary:
                    weights.symlink_to(import_weights(arguments.binary, directory, family, state))
                else:
                    write_safetensors(weights, state)
                write_safetensors(directory / "masks.safetensors", mask_prompts(family))
                (directory / "prompts.json").write_text(json.dumps(PROMPTS))
                subprocess.run([example, directory, family], check=True)

                worst, chosen, spread = np.zeros(4), [], []
                for i, (prompt, (whole, split)) in enumerate(
                    zip(PROMPTS, onnx_runs(directory, family, chip, PROMPTS))
                ):
                    logits, scores, selected = reference(family, encoder, decoder, chip, prompt)
                    ours = read_safetensors(directory / f"{i:02}.safetensors")
                    differences = [
                        np.abs(ours["low_res_masks"] - logits).max(),
                        np.abs(ours["iou_predictions"] - scores).max(),
                        max(np.abs(whole[0] - logits).max(), np.abs(whole[1] - scores).max()),
                        max(np.abs(split[0] - logits).max(), np.abs(split[1] - scores).max()),
                    ]
                    worst = np.maximum(worst, differences)
                    chosen.append(int(ours["selected"][0]))
                    spread.append(logits.std())
                    failed |= chosen[-1] != selected
            failed |= not (worst[[0, 2, 3]] <= LOGIT_BAR).all() or not worst[1] <= SCORE_BAR
            cells = " | ".join(f"{x:.1e}" for x in worst)
            print(f"| {family} | {dtype.lower()} | {cells} | {np.mean(spread):.2f} | {chosen} |", flush=True)
    sys.exit("a bar was missed" if failed else 0)


if __name__ == "__main__":
    main()
