"""The network f: images -> h. A small one for laptops, and torchvision's ResNets."""

import sys
from typing import cast

import torch
import torch.nn.functional as F
import torchvision
from torch import Tensor, nn

from cdlearn.runtime.fast_small_convs import SlicedConv, with_small_maps
from cdlearn.runtime.normalizing import NormalizingConv

BACKBONES = ("tiny", "resnet18", "resnet34", "resnet50")
STEMS = ("small", "imagenet")


class Backbone(nn.Module):
    """What :func:`backbone` returns; torchvision's networks have ``dim``, too, once they come from there.

    dim: size of h.
    """

    dim: int


class ResidualBlock(nn.Module):
    """Two 3x3 convolutions and a shortcut (He et al., 2016); (N, C, H, W) -> (N, out, H/stride, W/stride)."""

    def __init__(self, channels: int, out: int, stride: int):
        super().__init__()
        self.conv1 = nn.Conv2d(channels, out, 3, stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(out)
        self.conv2 = nn.Conv2d(out, out, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(out)
        self.shortcut = nn.Identity()
        if stride > 1 or channels != out:
            self.shortcut = nn.Sequential(SlicedConv(channels, out, 1, stride, bias=False), nn.BatchNorm2d(out))

    def forward(self, x: Tensor) -> Tensor:
        y = F.relu(self.bn1(self.conv1(x)), inplace=True)
        return F.relu(self.bn2(self.conv2(y)) + self.shortcut(x), inplace=True)


class TinyResNet(Backbone):
    """A stem and three residual blocks: (N, 3, S, S) in [0, 1] -> (N, 4 width), averaged over the image.

    The small stem folds each 2x2 square of pixels into 12 channels, then applies a 3x3 convolution. This loses nothing
    and leaves a quarter of the positions, so a minute of training shows more views.
    """

    def __init__(self, width: int = 32, stem: str = "small"):
        super().__init__()
        self.dim = 4 * width
        self.fold = 2 if stem == "small" else 4
        self.stem = nn.Sequential(
            nn.Conv2d(3 * self.fold**2, width, 3, padding=1, bias=False), nn.BatchNorm2d(width), nn.ReLU(inplace=True)
        )
        self.blocks = nn.Sequential(
            ResidualBlock(width, width, 1), ResidualBlock(width, 2 * width, 2), ResidualBlock(2 * width, 4 * width, 2)
        )

    def forward(self, x: Tensor) -> Tensor:
        if x.shape[-1] % self.fold or x.shape[-2] % self.fold:
            x = F.pad(x, (0, -x.shape[-1] % self.fold, 0, -x.shape[-2] % self.fold))
        x = F.pixel_unshuffle(x, self.fold).contiguous(memory_format=torch.channels_last)
        return self.blocks(self.stem(x)).mean(dim=(2, 3))


def backbone(name: str, stem: str = "small", width: int = 32, normalized: bool = False) -> Backbone:
    """A network without its classifier: (N, 3, S, S) float in [0, 1] -> h (N, .dim).

    Args:
        name: tiny, resnet18, resnet34 or resnet50.
        stem: ``imagenet`` shrinks the image 4 times before the first block (7x7, stride 2, max-pool): right for 224 px.
            ``small`` (3x3, stride 1, no pool) keeps it: right for 32 px, where ``imagenet`` loses nearly all.
        width: channels of tiny's stem; the ResNets ignore it.
        normalized: whether a ResNet normalises the pixels by ImageNet's statistics; tiny never does.

    Raises:
        ValueError: for an unknown name or stem.
    """
    if stem not in STEMS:
        raise ValueError(f"unknown stem {stem!r}; there are {', '.join(STEMS)}")
    if name == "tiny":
        return cast(Backbone, with_small_maps(TinyResNet(width, stem)))
    if name not in BACKBONES:
        raise ValueError(f"unknown backbone {name!r}; there are {', '.join(BACKBONES)}")
    net = getattr(torchvision.models, name)(weights=None)
    net.dim = net.fc.in_features
    net.fc = nn.Identity()
    first = NormalizingConv if normalized else nn.Conv2d
    if stem == "small":
        net.conv1 = first(3, 64, 3, padding=1, bias=False)
        nn.init.kaiming_normal_(net.conv1.weight, mode="fan_out", nonlinearity="relu")
        net.maxpool = nn.Identity()
    elif normalized:
        (fresh, net.conv1) = (net.conv1, NormalizingConv(3, 64, 7, 2, padding=3, bias=False))
        net.conv1.weight = fresh.weight
    return cast(Backbone, with_small_maps(net))


def warn_about_stem(stem: str, size: int) -> None:
    """Warn when small images meet the stem for large ones (NMI fell to 0.02 in published trials)."""
    if stem == "imagenet" and size <= 64:
        fix = "use --stem small or a larger --size"
        print(f"warning: the imagenet stem shrinks {size} px images to {size // 4} px; {fix}", file=sys.stderr)
