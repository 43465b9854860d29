"""A backbone that does not learn: projector and heads are trained on what it is."""

import torchvision
from torch import nn

from cdlearn.backbones import TinyResNet


class Frozen:
    """A backbone that stays in evaluation mode: its BatchNorm neither uses nor moves the statistics of a batch."""

    def train(self, mode: bool = True):
        return super().train(False)


class FrozenTiny(Frozen, TinyResNet):
    pass


class FrozenResNet(Frozen, torchvision.models.ResNet):
    pass


def frozen(net: nn.Module) -> nn.Module:
    """``net``, a backbone, for good without gradient and in evaluation mode."""
    net.__class__ = FrozenTiny if isinstance(net, TinyResNet) else FrozenResNet  # it adds no attribute
    return net.requires_grad_(False).eval()
