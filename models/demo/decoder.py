"""The weights of the demo's prompt encoder and mask decoder, written down instead of trained.

The shapes and names are those of SAM (`prompt_encoder.*`, `mask_decoder.*`), so that the checkpoint goes through the same
import, the same graph and the same code as a real one. What the network computes with them:

1. Layer 0, tokens among themselves: a point keeps its own place, the two corners of a box share the middle of both.
   The two low frequencies are almost straight lines over the frame, so a sum of two encodings points at the middle.
2. Layer 0, tokens to image: a token reads the code and the kind of the cell at its place; cells that hold an object attract.
3. Layer 0, perceptron: the kinds are sharpened to 0 or 1.
4. Layer 0, image to tokens: a cell whose code matches that of a token receives the token's kind (for background points
   minus one); all others go to the decoder's own tokens, which carry nothing.
5. Layer 1, tokens among themselves: the mask tokens learn the kinds of the foreground prompts, for roads and ground.
6. Upscaling: the cover of each part of a cell passes where the cell's gate for that kind is open.
Mask 0 and 1: the prompted objects. Mask 2: everything of these kinds. Mask 3: all objects.

Every weight is rounded to half precision; none of them minds. Layer normalisation does nothing here, because two channels
hold large constants (BALLAST) and everything that is written is balanced by its negative in an unused channel.

    python decoder.py OUT.pt      writes the decoder part alone
"""

import math
import sys

import torch

from encoder import half
from layout import (ALL_KINDS, BALLAST, BALLAST_SIZE, BOUND, CELL_KINDS, CHANNELS, CODE, CODE_GAIN, COVER, GATE, GATED, LOW, MID,
                    OBJECT)

ROAD, GROUND = ALL_KINDS.index("road"), ALL_KINDS.index("ground")
PLACE = [0, 1, 2, 3, 128, 129, 130, 131]  # of the positional encoding: sin x, y low, x, y mid, then the cosines
PLACE_LOW = [0, 1, 128, 129]
# Channels of the tokens: labels (in the prompt embeddings) and what the transformer collects.
FOREGROUND, BACKGROUND, CORNER, SINK, OWN = 64, 65, 66, 67, 68
AT, AT_BOX, IS_FOREGROUND, IS_BACKGROUND = 8, 16, 20, 21
READ_CODE, READ_BOUND, READ_KINDS, SHARP, ALL_READ = 24, 32, 33, 40, 48
COUNTERWEIGHT = 200
IDENTITY_SCALE = BALLAST_SIZE / math.sqrt(CHANNELS / 2)  # the deviation that the ballast gives to 256 channels
NEAR, NEAR_MID, NEAR_BOX = 512.0, 256.0, 2048.0  # how sharply a point and a box's middle look at the image
ATTRACT, ATTRACT_BOX, REPEL = 6.0, 16.0, 40.0
UPPER_BALLAST = 256.0


def place(weight, rows, columns, gain):
    """Sets weight[row, column] = gain for pairs of rows and columns."""
    for row, column in zip(rows, columns, strict=True):
        weight[row, column] = gain


def balanced(weight):
    """The counterweight row: minus the sum of all others, so that what is written has mean zero."""
    weight[COUNTERWEIGHT] = 0
    weight[COUNTERWEIGHT] = -weight.sum(0)
    return weight


class Attention:
    """One attention's projections, zero but for what is set; gains of scores are given after the division by sqrt(width)."""

    def __init__(self, inner, heads=8):
        self.width = inner // heads
        self.q, self.k, self.v = (torch.zeros(inner, CHANNELS) for _ in range(3))
        self.q_bias, self.out, self.out_bias = torch.zeros(inner), torch.zeros(CHANNELS, inner), torch.zeros(CHANNELS)

    def score(self, head, dim, q, k, gain, q_bias=0.0):
        """Adds gain * (q . token + q_bias) * (k . token), q and k given as {channel: weight}."""
        row = head * self.width + dim
        for channel, value in q.items():
            self.q[row, channel] = value * gain * math.sqrt(self.width)
        for channel, value in k.items():
            self.k[row, channel] = value
        self.q_bias[row] = q_bias * gain * math.sqrt(self.width)

    def carry(self, head, dim, source, target):
        """The value source ({channel: weight}) is written into the channel target."""
        row = head * self.width + dim
        for channel, value in source.items():
            self.v[row, channel] = value
        self.out[target, row] = 1.0

    def state(self, prefix):
        zero = torch.zeros(self.q.shape[0])
        return {f"{prefix}.q_proj.weight": self.q, f"{prefix}.q_proj.bias": self.q_bias, f"{prefix}.k_proj.weight": self.k,
                f"{prefix}.k_proj.bias": zero.clone(), f"{prefix}.v_proj.weight": self.v, f"{prefix}.v_proj.bias": zero.clone(),
                f"{prefix}.out_proj.weight": balanced(self.out), f"{prefix}.out_proj.bias": self.out_bias}


def tokens_first():
    """Step 1: the first attention among the tokens; its output replaces them, so it also lays the ballast."""
    a = Attention(256)
    for dim, channel in enumerate(PLACE):
        a.score(0, dim, {channel: 1}, {channel: 1}, 512.0)
        a.carry(0, dim, {channel: 1}, AT + dim)
    a.score(0, 8, {FOREGROUND: 1}, {FOREGROUND: 1}, 64.0)
    a.score(0, 9, {BACKGROUND: 1}, {BACKGROUND: 1}, 64.0)
    a.score(0, 10, {CORNER: 1, OWN: 1}, {SINK: 1}, 8192.0)
    a.carry(0, 8, {FOREGROUND: 1}, IS_FOREGROUND)
    a.carry(0, 9, {BACKGROUND: 1}, IS_BACKGROUND)
    a.score(1, 0, {CORNER: 1}, {CORNER: 1}, 128.0)
    a.score(1, 1, {}, {SINK: 1}, 64.0, q_bias=1.0)
    for dim, channel in enumerate(PLACE_LOW):
        a.carry(1, dim, {channel: 1}, AT_BOX + dim)
    a.carry(1, 4, {CORNER: 1}, IS_FOREGROUND)
    a.out_bias[BALLAST[0]], a.out_bias[BALLAST[1]] = BALLAST_SIZE, -BALLAST_SIZE
    return a


def tokens_read_image():
    """Step 2: each token reads the cell at its place."""
    a = Attention(128)
    for dim, channel in enumerate(PLACE):
        gain = NEAR if channel in PLACE_LOW else NEAR_MID
        look = {AT + dim: 1.0}
        if channel in PLACE_LOW:
            look[AT_BOX + PLACE_LOW.index(channel)] = NEAR_BOX / gain
        a.score(0, dim, look, {channel: 1}, gain)
    a.score(0, 8, {CORNER: ATTRACT_BOX - ATTRACT, OWN: -REPEL}, {OBJECT: 1, CELL_KINDS + ROAD: 1}, 1.0, q_bias=ATTRACT)
    for n in range(8):
        a.carry(0, n, {CODE + n: 1}, READ_CODE + n)
    a.carry(0, 8, {BOUND: 1}, READ_BOUND)
    for n in range(len(ALL_KINDS)):
        a.carry(0, 9 + n, {CELL_KINDS + n: 1}, READ_KINDS + n)
    return a


def image_reads_tokens():
    """Step 4: cells with the code of a token receive its kind."""
    a = Attention(128)
    for n in range(8):
        a.score(0, n, {CODE + n: 1}, {READ_CODE + n: 1}, CODE_GAIN)
    a.score(0, 8, {BOUND: 1}, {READ_BOUND: 1}, -4 * CODE_GAIN)
    for n in range(GATED):
        a.carry(0, n, {SHARP + n: 1, IS_BACKGROUND: -2}, GATE + n)
    return a


def tokens_second():
    """Step 5: what the foreground prompts read, for everyone."""
    a = Attention(256)
    a.score(0, 0, {}, {IS_FOREGROUND: 1, SINK: 0.5}, 64.0, q_bias=1.0)
    for n in range(len(ALL_KINDS)):
        a.carry(0, n, {READ_KINDS + n: 1}, ALL_READ + n)
    return a


def perceptron(sharpen):
    """Step 3 (or nothing): clip(2.5 kind - 0.5, 0, 1) of the four kinds that are single objects."""
    first, bias, second = torch.zeros(2048, CHANNELS), torch.zeros(2048), torch.zeros(CHANNELS, 2048)
    if sharpen:
        for n in range(GATED):
            for part, (shift, sign) in enumerate([(-0.5, 1.0), (-1.5, -1.0)]):
                first[2 * n + part, READ_KINDS + n], bias[2 * n + part] = 2.5, shift
                second[SHARP + n, 2 * n + part] = sign
    return first, bias, balanced(second)


def transformer():
    state = {}
    for layer in range(2):
        prefix = f"mask_decoder.transformer.layers.{layer}"
        attentions = ([tokens_first(), tokens_read_image(), image_reads_tokens()] if layer == 0
                      else [tokens_second(), Attention(128), Attention(128)])
        for name, attention in zip(("self_attn", "cross_attn_token_to_image", "cross_attn_image_to_token"), attentions):
            state.update(attention.state(f"{prefix}.{name}"))
        first, bias, second = perceptron(layer == 0)
        state.update({f"{prefix}.mlp.lin1.weight": first, f"{prefix}.mlp.lin1.bias": bias,
                      f"{prefix}.mlp.lin2.weight": second, f"{prefix}.mlp.lin2.bias": torch.zeros(CHANNELS)})
        for norm in range(1, 5):
            state[f"{prefix}.norm{norm}.weight"] = torch.full((CHANNELS,), IDENTITY_SCALE)
            state[f"{prefix}.norm{norm}.bias"] = torch.zeros(CHANNELS)
    state.update(Attention(128).state("mask_decoder.transformer.final_attn_token_to_image"))
    state["mask_decoder.transformer.norm_final_attn.weight"] = torch.full((CHANNELS,), IDENTITY_SCALE)
    state["mask_decoder.transformer.norm_final_attn.bias"] = torch.zeros(CHANNELS)
    return state


def upscaling():
    """Step 6. First to 8 x 8 pixels: 24 covers (kind, part of four) and 8 gates; then to 4 x 4 pixels."""
    kinds = len(ALL_KINDS)
    gates, ballast, rest = 4 * kinds, (62, 63), range(40, 56)
    # The normalisation of 64 channels scales by its ballast; afterwards covers become 4 c + 12, a range where GELU changes nothing.
    scale = UPPER_BALLAST / math.sqrt(32)
    one, two = torch.zeros(CHANNELS, 64, 2, 2), torch.zeros(64, 32, 2, 2)
    gain, shift = torch.full((64,), scale), torch.zeros(64)
    for dy in range(2):
        for dx in range(2):
            for kind in range(kinds):
                for sub in range(4):
                    part = (2 * dy + sub // 2) * 4 + 2 * dx + sub % 2
                    one[COVER + 16 * kind + part, 4 * kind + sub, dy, dx] = 1.0
            for kind in range(GATED):
                one[GATE + kind, gates + 2 * kind, dy, dx] = one[GATE + kind, gates + 2 * kind + 1, dy, dx] = 1.0
            total = one[:, :, dy, dx].sum(1)
            for channel in rest:
                one[:, channel, dy, dx] = -total / 16
            for channel, target in zip(BALLAST, ballast):
                one[channel, target, dy, dx] = UPPER_BALLAST / BALLAST_SIZE
    gain[: 4 * kinds] *= 4
    shift[: 4 * kinds] = 12.0
    gain[gates : gates + 2 * GATED] *= 32
    shift[gates : gates + 2 * GATED : 2] = -32 * 0.375
    shift[gates + 1 : gates + 2 * GATED : 2] = -32 * 0.625
    bias = torch.zeros(32)
    for dy in range(2):
        for dx in range(2):
            sub = 2 * dy + dx
            for kind in range(GATED):  # 8 c + 8 where the gate is open (difference of its two channels: 8), 48 less where not
                two[4 * kind + sub, kind, dy, dx] = 2.0
                two[gates + 2 * kind, kind, dy, dx] = 6.0
                two[gates + 2 * kind + 1, kind, dy, dx] = -6.0
            for kind in range(kinds):
                two[4 * kind + sub, GATED + kind, dy, dx] = 2.0
    bias[:GATED] = -24 + 8 - 48
    bias[GATED : GATED + kinds] = -24 + 8
    bias[GATED + kinds] = 8.0
    prefix = "mask_decoder.output_upscaling"
    return {f"{prefix}.0.weight": one, f"{prefix}.0.bias": torch.zeros(64), f"{prefix}.1.weight": gain, f"{prefix}.1.bias": shift,
            f"{prefix}.3.weight": two, f"{prefix}.3.bias": bias}


def head(prefix, inner, outputs, parts, constants):
    """A three-layer perceptron: constants, and for (channel, output) in parts clip(2.5 channel - 0.5, 0, 1)."""
    sizes = [(inner, CHANNELS), (inner, inner), (outputs, inner)]
    weights, biases = [torch.zeros(size) for size in sizes], [torch.zeros(size[0]) for size in sizes]
    for n, (channel, output) in enumerate(parts):
        for part, (shift, sign) in enumerate([(-0.5, 1.0), (-1.5, -1.0)]):
            weights[0][2 * n + part, channel], biases[0][2 * n + part] = 2.5, shift
            weights[1][n, 2 * n + part] = sign
        weights[2][output, n] = 1.0
    for output, value in constants.items():
        biases[2][output] = value
    state = {}
    for n in range(3):
        state[f"{prefix}.layers.{n}.weight"], state[f"{prefix}.layers.{n}.bias"] = weights[n], biases[n]
    return state


def heads(quality):
    state, kinds = {}, len(ALL_KINDS)
    free = {kind: GATED + kind for kind in range(kinds)}
    one = GATED + kinds
    whole = [(ALL_READ + kind, free[kind]) for kind in (ROAD, GROUND)]
    chosen = {**{kind: 1.0 for kind in range(GATED)}, one: -1.0}
    every = {**{free[kind]: 1.0 for kind in range(GATED)}, one: -1.0}
    same = [(ALL_READ + kind, free[kind]) for kind in range(kinds)]
    for mask, (parts, constants) in enumerate([(whole, chosen), (whole, chosen), (same, {one: -1.0}), ([], every)]):
        state.update(head(f"mask_decoder.output_hypernetworks_mlps.{mask}", 256, 32, parts, constants))
    state.update(head("mask_decoder.iou_prediction_head", 256, 4, [], dict(enumerate(quality))))
    return state


def prompt_encoder():
    prefix, state = "prompt_encoder", {}
    matrix = torch.zeros(2, 128)
    for n, frequency in enumerate((LOW, MID)):
        matrix[0, 2 * n] = matrix[1, 2 * n + 1] = frequency
    state[f"{prefix}.pe_layer.positional_encoding_gaussian_matrix"] = matrix

    def embedding(*channels):
        weight = torch.zeros(1, CHANNELS)
        weight[0, list(channels)] = 1.0
        return weight

    for n, channel in enumerate((BACKGROUND, FOREGROUND, CORNER, CORNER)):
        state[f"{prefix}.point_embeddings.{n}.weight"] = embedding(channel)
    state[f"{prefix}.not_a_point_embed.weight"] = embedding(OWN)
    state[f"{prefix}.no_mask_embed.weight"] = embedding()
    shapes = {"0.weight": (4, 1, 2, 2), "0.bias": (4,), "1.weight": (4,), "1.bias": (4,), "3.weight": (16, 4, 2, 2), "3.bias": (16,),
              "4.weight": (16,), "4.bias": (16,), "6.weight": (256, 16, 1, 1), "6.bias": (256,)}
    for name, shape in shapes.items():  # mask prompts are not used; they change nothing
        state[f"{prefix}.mask_downscaling.{name}"] = torch.zeros(shape)
    state["mask_decoder.iou_token.weight"] = embedding(SINK, OWN)
    state["mask_decoder.mask_tokens.weight"] = embedding(OWN).repeat(4, 1)
    return state


def decoder_state(quality=(0.9375, 0.9375, 0.5, 0.25)):
    """All weights by name; `quality` is what the four masks say of themselves, whatever the prompt (about the IoU on unseen scenes)."""
    state = {**prompt_encoder(), **transformer(), **upscaling(), **heads(quality)}
    return {name: half(weight) for name, weight in state.items()}


if __name__ == "__main__":
    torch.save(decoder_state(), sys.argv[1])
