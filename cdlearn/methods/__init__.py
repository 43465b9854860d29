"""The methods, one file each, all with one interface.

``training_loss(x1, x2, x) -> terms``: two views and the plain images, float (N, 3, S, S) in [0, 1] -> a dictionary of
scalars, ``loss`` first, which is minimised; ``needs_plain`` says whether x is used (else it may be anything).
``represent(x) -> {"backbone": h, "output": y}``: what is evaluated.
"""

from torch import nn

from cdlearn.backbones import backbone
from cdlearn.config import Config
from cdlearn.methods.cd import CD
from cdlearn.methods.simclr import SimCLR

METHODS = {"cd": CD, "simclr": SimCLR}


def build(config: Config) -> nn.Module:
    """The method that ``config`` names, on its backbone, with fresh weights from torch's random state."""
    return METHODS[config.method](backbone(config.backbone, config.stem, config.width), config)
