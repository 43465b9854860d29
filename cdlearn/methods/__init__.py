"""The methods, one file each, all with the interface of base.Method.

A new one is a new file, a line in METHODS, and its name in config.py, which does not load torch.
"""

import sys
from collections.abc import Callable

from torch import nn

from cdlearn.backbones import backbone
from cdlearn.methods.autoencoder import DAE, VAE, Autoencoder
from cdlearn.methods.base import Method
from cdlearn.methods.byol import BYOL
from cdlearn.methods.cc import CC
from cdlearn.methods.cd import CD
from cdlearn.methods.cluster_centres import Centres
from cdlearn.methods.dac import DAC
from cdlearn.methods.dccm import DCCM
from cdlearn.methods.dcgan import DCGAN
from cdlearn.methods.dec import DEC
from cdlearn.methods.decnn import DeCNN
from cdlearn.methods.fastsiam import FastSiam
from cdlearn.methods.frozen import frozen
from cdlearn.methods.jule import JULE
from cdlearn.methods.pica import PICA
from cdlearn.methods.simclr import SimCLR
from cdlearn.methods.vicreg import VICReg
from cdlearn.runtime.errors import UserError

METHODS: dict[str, type[Method]] = {  # name -> the class, made from a backbone and a Config
    "cd": CD,
    "simclr": SimCLR,
    "cc": CC,
    "centres": Centres,
    "ae": Autoencoder,
    "dae": DAE,
    "vae": VAE,
    "byol": BYOL,
    "vicreg": VICReg,
    "fastsiam": FastSiam,
    "decnn": DeCNN,
    "dcgan": DCGAN,
    "jule": JULE,
    "dec": DEC,
    "dac": DAC,
    "dccm": DCCM,
    "pica": PICA,
}


def views_of(method: str) -> int:
    """How many views of every image a step of the method of this name takes, as the length of a run counts them.

    A method that takes the plain image counts as two, so that it runs for as many epochs as those that contrast two.
    """
    return max(2, METHODS[method].views_per_image)


def needs_clusters(method: str) -> bool:
    """Whether the method of this name must be given the number of clusters."""
    return METHODS[method].needs_clusters


def warn_about_phases(method: str, epochs: int) -> None:
    """Warn when a run is too short for the phases of its method, and what that does."""
    least, what = METHODS[method].least_epochs
    if 0 < epochs < least:
        short = f"{method} has phases that do not fit into {epochs} epoch{'s' * (epochs > 1)}"
        print(f"warning: {short}: {what}; --epochs {least} or more has room for them", file=sys.stderr)


def build(config, start: Callable[[nn.Module], None] | None = None) -> Method:
    """The method that ``config`` names, on its backbone, with fresh weights from torch's random state.

    start: puts pretrained weights into the backbone before the method gets it, because some methods copy it.

    Raises:
        UserError: if the method needs ``config.clusters`` and it is not set.
    """
    if needs_clusters(config.method) and not config.clusters:
        raise UserError(
            f"{config.method} must be given the number of clusters: pass --clusters K (in Python, clusters=K, or "
            "config.for_images(images), which takes the number of their classes)"
        )
    net = backbone(config.backbone, config.stem, config.width, config.normalize == "imagenet")
    if start:
        start(net)
    return METHODS[config.method](frozen(net) if config.freeze else net, config)
