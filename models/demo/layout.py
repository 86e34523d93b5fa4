"""What each channel of the demo's image embedding means, and how the encoder's answers become that embedding.

The embedding has the standard shape [256, 64, 64] (a cell is 16 x 16 pixels of the 1024-pixel frame). Channels:

    0..3, 128..131   free: here the positional encoding is read
    CODE     8..15   where the centre of the cell's object lies: sine and cosine of its x and y at two frequencies
    OBJECT   16      1 where the cell holds some of a pond, wood, building or field, else 0; scales CODE and BOUND
    KINDS    17..22  what the cell holds: pond, wood, building, field, road, ground (sum 1)
    BOUND    23      how far from the centre's code another code still means the same object
    GATE     24..27  zero; the decoder writes here which cells belong to the prompted object, per kind
    COVER    28..123 six kinds x 16 (row-major 4 x 4 parts of the cell): -1 not there, 0 half covered, 1 covered
    BALLAST  124,125 large constants, opposite: they make the layer normalisations a multiplication by a known number
    REST     140..155 minus the mean of the above, so that the mean of all channels is zero
"""

import math

import torch
from torch.nn import functional as F

from encoder import OFFSET_UNIT
from scene import KINDS

FRAME, GRID, CHANNELS = 1024, 64, 256
LOW, MID = 0.21875, 0.875  # frequencies of the positional encoding, per half frame: periods of 2341 and 585 pixels
CODE, OBJECT, CELL_KINDS, BOUND, GATE, COVER = 8, 16, 17, 23, 24, 28
BALLAST, BALLAST_SIZE = (124, 125), 256.0
REST = slice(140, 156)
GATED = 4  # the first kinds are single objects; roads and the ground have no centre and are taken whole
ALL_KINDS = (*KINDS, "ground")
CODE_GAIN = 512.0  # weight of each cosine of a difference of codes in the decoder
MARGIN = {"pond": 16.0, "wood": 48.0, "building": 16.0, "field": 80.0}  # centres up to 23, 39, 23 and 50 pixels apart


def fourier(x, y):
    """The eight numbers of a place in frame pixels, as SAM's positional encoding gives them: sines, then cosines."""
    x, y = 2 * x / FRAME - 1, 2 * y / FRAME - 1
    angles = [2 * math.pi * frequency * value for frequency in (LOW, MID) for value in (x, y)]
    return torch.stack([torch.sin(a) for a in angles] + [torch.cos(a) for a in angles], 1)


def coarse(values):
    """Multiples of 1/64: files that compress well, at a cost of a thirtieth of a pixel at an object's edge."""
    return (values * 64).round() / 64


def pack(kinds, offset, origin=(0, 0)):
    """The embedding [B, 256, H/16, W/16] of the encoder's two answers; `origin` is the crop's place in the frame (x, y)."""
    share = kinds.float().sigmoid()
    batch, _, height, width = share.shape
    height, width = height // 4, width // 4
    cover = coarse(torch.cat([2 * share - 1, 1 - 2 * share.amax(1, keepdim=True)], 1))
    most = F.max_pool2d(share, 4)
    there = ((most - 0.15) / 0.3).clamp(0, 1)
    thing = there[:, :GATED].amax(1, keepdim=True)
    weight = F.avg_pool2d(share[:, :GATED], 4) * there[:, :GATED] + 1e-6
    kind = weight / weight.sum(1, keepdim=True)
    road = there[:, GATED:] * (1 - thing)
    columns = torch.arange(width) * 16 + 8 + origin[0]
    rows = torch.arange(height) * 16 + 8 + origin[1]
    x = columns[None, None, :] + OFFSET_UNIT * offset[:, 0].float()
    y = rows[None, :, None] + OFFSET_UNIT * offset[:, 1].float()
    margin = sum(MARGIN[name] * kind[:, n : n + 1] for n, name in enumerate(KINDS[:GATED]))
    out = torch.zeros(batch, CHANNELS, height, width)
    out[:, CODE : CODE + 8] = fourier(x, y) * thing
    out[:, OBJECT : OBJECT + 1] = thing
    out[:, CELL_KINDS : CELL_KINDS + 6] = coarse(torch.cat([kind * thing, road, 1 - thing - road], 1))
    out[:, BOUND : BOUND + 1] = thing * (1 - margin / (4 * CODE_GAIN)).sqrt()
    out[:, COVER : COVER + 96] = F.pixel_unshuffle(cover, 4)
    out[:, REST] = -out.sum(1, keepdim=True) / 16
    out[:, BALLAST[0]], out[:, BALLAST[1]] = BALLAST_SIZE, -BALLAST_SIZE
    return out
