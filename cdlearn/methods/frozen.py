"""A backbone that does not learn: projector and heads are trained on what it is."""

import torchvision
from torch import nn

from cdlearn.backbones import Backbone, TinyResNet


class Frozen(nn.Module):
    """A backbone that stays in evaluation mode: its BatchNorm neither uses nor moves the statistics of a batch."""

    def train(self, mode: bool = True):
        return super().train(False)


class FrozenTiny(Frozen, TinyResNet):
    pass


class FrozenResNet(Frozen, torchvision.models.ResNet):
    pass


def frozen(net: Backbone) -> Backbone:
    """``net``, a backbone, for good without gradient and in evaluation mode."""
    kind: type = FrozenTiny if isinstance(net, TinyResNet) else FrozenResNet
    net.__class__ = kind  # it adds no attribute
    return net.requires_grad_(False).eval()
