"""The demo's image encoder: what is at each pixel, and where is the centre of the object it belongs to.

A small convolutional network (1.5 M parameters, strides 4, 8 and 16, no normalisation) with two heads:
- `kinds`: per 4 x 4 pixels and kind a logit, zero where half of the 4 x 4 pixels are covered;
- `offset`: per 16 x 16 pixels the way to the centre of the object's visible part, in units of 64 pixels.
`layout.pack` turns both into the [256, H/16, W/16] embedding that the mask decoder reads.
"""

import torch
from torch import nn
from torch.nn import functional as F

from scene import KINDS

MEAN = torch.tensor([123.675, 116.28, 103.53]).view(1, 3, 1, 1)
DEVIATION = torch.tensor([58.395, 57.12, 57.375]).view(1, 3, 1, 1)
OFFSET_UNIT = 64.0


class Residual(nn.Module):
    """Two 3 x 3 convolutions added to the input; nothing at first, so that a deep chain learns without normalisation."""

    def __init__(self, channels, dilation=1):
        super().__init__()
        self.first = nn.Conv2d(channels, channels, 3, padding=dilation, dilation=dilation)
        self.second = nn.Conv2d(channels, channels, 3, padding=dilation, dilation=dilation)
        nn.init.kaiming_normal_(self.first.weight, nonlinearity="relu")
        nn.init.zeros_(self.first.bias)
        nn.init.zeros_(self.second.weight)
        nn.init.zeros_(self.second.bias)

    def forward(self, x):
        return F.relu(x + self.second(F.relu(self.first(x))))


def convolution(inputs, outputs, size, stride=1):
    layer = nn.Conv2d(inputs, outputs, size, stride=stride, padding=size // 2)
    nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
    nn.init.zeros_(layer.bias)
    return layer


class Encoder(nn.Module):
    """RGB images in 0..255 of [B, 3, H, W] (multiples of 16) -> kinds [B, 5, H/4, W/4], offset [B, 2, H/16, W/16] (x, y)."""

    def __init__(self):
        super().__init__()
        self.at4 = nn.Sequential(convolution(48, 32, 3), nn.ReLU(), Residual(32))
        self.at8 = nn.Sequential(convolution(32, 64, 3, 2), nn.ReLU(), Residual(64))
        self.at16 = nn.Sequential(convolution(64, 128, 3, 2), nn.ReLU(), *[Residual(128, d) for d in (1, 2, 4, 2)])
        self.up8, self.mix8 = nn.Conv2d(128, 64, 1), Residual(64)
        self.up4, self.mix4 = nn.Conv2d(64, 32, 1), Residual(32)
        self.kinds = nn.Conv2d(32, len(KINDS), 1)
        self.offset = nn.Sequential(convolution(128, 64, 1), nn.ReLU(), nn.Conv2d(64, 2, 1))
        nn.init.constant_(self.kinds.bias, -2.0)

    def forward(self, image):
        x4 = self.at4(F.pixel_unshuffle((image - MEAN) / DEVIATION, 4))
        x8 = self.at8(x4)
        x16 = self.at16(x8)
        y8 = self.mix8(x8 + F.interpolate(self.up8(x16), scale_factor=2, mode="nearest"))
        y4 = self.mix4(x4 + F.interpolate(self.up4(y8), scale_factor=2, mode="nearest"))
        return self.kinds(y4), self.offset(x16)


def half(tensor):
    """The values as half precision keeps them, where they are used as float32."""
    return tensor.to(torch.float16).to(torch.float32)
