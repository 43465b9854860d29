"""ImageNet's statistics of pixels, applied by a network's first convolution."""

import torch
from torch import Tensor, nn

IMAGENET_STATISTICS = {"mean": (0.485, 0.456, 0.406), "std": (0.229, 0.224, 0.225)}  # of its pixels in [0, 1], RGB


class NormalizingConv(nn.Conv2d):
    """A ResNet's first convolution, which takes pixels in [0, 1] and normalises them as ImageNet's weights expect.

    Folded into the weights, the mean would become a bias, and a bias is wrong at the border: the padding would no
    longer stand for the mean colour. The statistics are no part of the weights, so torchvision's fit as they are.
    """

    def __init__(self, *shape, **more):
        super().__init__(*shape, **more)
        for name, values in IMAGENET_STATISTICS.items():
            self.register_buffer(name, torch.tensor(values).view(1, 3, 1, 1), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        return super().forward((x - self.mean) / self.std)
