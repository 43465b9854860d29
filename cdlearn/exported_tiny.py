"""The tiny backbone on its own: torch and safetensors are all it needs. Its weights are in the file beside this one.

images, float32 (N, 3, S, S) in 0-1 -> features (N, 4 * WIDTH), averaged over the image.
"""

from pathlib import Path

import safetensors.torch
import torch.nn.functional as F
from torch import nn

WIDTH, FOLD = 32, 2  # channels of the stem; pixels along the side of a square that the stem takes at once


class ResidualBlock(nn.Module):
    def __init__(self, channels, out, stride):
        super().__init__()
        self.stride = stride
        self.conv1 = nn.Conv2d(channels, out, 3, stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(out)
        self.conv2 = nn.Conv2d(out, out, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(out)
        changes = stride > 1 or channels != out
        shortcut = (nn.Conv2d(channels, out, 1, bias=False), nn.BatchNorm2d(out))
        self.shortcut = nn.Sequential(*shortcut) if changes else nn.Identity()

    def forward(self, x):
        y = F.relu(self.bn1(self.conv1(x)))
        return F.relu(self.bn2(self.conv2(y)) + self.shortcut(x[:, :, :: self.stride, :: self.stride]))


class TinyResNet(nn.Module):
    def __init__(self):
        super().__init__()
        self.stem = nn.Sequential(
            nn.Conv2d(3 * FOLD**2, WIDTH, 3, padding=1, bias=False), nn.BatchNorm2d(WIDTH), nn.ReLU()
        )
        sizes = ((WIDTH, WIDTH, 1), (WIDTH, 2 * WIDTH, 2), (2 * WIDTH, 4 * WIDTH, 2))
        self.blocks = nn.Sequential(*(ResidualBlock(*size) for size in sizes))

    def forward(self, x):
        x = F.pad(x, (0, -x.shape[-1] % FOLD, 0, -x.shape[-2] % FOLD))
        return self.blocks(self.stem(F.pixel_unshuffle(x, FOLD))).mean(dim=(2, 3))


def load():
    """The network with its weights, in evaluation mode."""
    net = TinyResNet()
    net.load_state_dict(safetensors.torch.load_file(Path(__file__).with_name("backbone.safetensors")))
    return net.eval()
