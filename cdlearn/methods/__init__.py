"""The methods, one file each, all with one interface. A new one is a new file and a line in METHODS.

``training_loss(x1, x2, x) -> terms`` takes two views and the plain images, float (N, 3, S, S) in [0, 1]. It returns a
dictionary of scalars; the first, ``loss``, is minimised. ``needs_plain`` says whether x is used (else it may be
anything). Random draws come from torch's own state, which the Trainer sets in every step. When several processes train
(runtime/distributed.py), each gets its slice of the batch and returns the loss of the whole batch: contrasted tensors
go through ``gathered`` first, means over images through ``averaged``, random draws for images through
``random_like``. ``represent(x) -> {"backbone": h, "output": y}`` returns what is evaluated.

Optional: ``needs_views = False`` for a method that looks at the plain images alone: no views are made, and x1 and x2
are the plain images too. ``views = V`` for a method that looks at V views instead of two: ``training_loss(*views, x)``.
``needs_clusters = True`` for a method that must be told ``config.clusters``; its output is (N, clusters), how much each
image belongs to each cluster, and the largest is scored beside K-means.
``prepare(images)``, with uint8 (N, 3, H, W), is called once, before the first step (so not when a run is resumed after
it). ``after_step(step, steps)`` is called after the optimizer's step, for a moving average of weights, say. What a
method remembers from step to step lies in its buffers, or in parameters that need no gradient, so that a resumed run
takes the very steps of an uninterrupted one.

Methods with phases (per_image.py holds what they share) have two more. ``begin_epoch(epoch, epochs, images)`` is called
before the first step of every epoch; there a method may look at all images, and cluster or merge. Afterwards all
processes get the weights and buffers of the first. ``begin_step(epoch, epochs, index)`` is called before every step,
also the first after a resume, with the numbers (n,) of the images that this process will see: so a method knows its
phase without remembering it, and finds what it keeps of each image. ``has_unused_parameters = True`` says that some
weights have no part in some steps; the optimizer leaves them as they are. A phase may have loss terms of its own.
``least_epochs = (N, what)`` says how many epochs the phases need, and what happens in fewer.
"""

import sys

from torch import nn

from cdlearn.backbones import backbone
from cdlearn.methods import autoencoder
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
from cdlearn.methods.jule import JULE
from cdlearn.methods.pica import PICA
from cdlearn.methods.simclr import SimCLR
from cdlearn.methods.vicreg import VICReg
from cdlearn.runtime.errors import UserError

METHODS = {  # name -> what makes it from a backbone and a Config
    "cd": CD,
    "simclr": SimCLR,
    "cc": CC,
    "centres": Centres,
    "ae": autoencoder.ae,
    "dae": autoencoder.dae,
    "vae": autoencoder.vae,
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
    """How many views of every image a step of the method of this name takes, as the length of a run counts them."""
    return getattr(METHODS[method], "views", 2)


def needs_clusters(method: str) -> bool:
    """Whether the method of this name must be told the number of clusters."""
    return getattr(METHODS[method], "needs_clusters", False)


def warn_about_phases(method: str, epochs: int) -> None:
    """Say when a run is too short for the phases of its method, and what that does."""
    least, what = getattr(METHODS[method], "least_epochs", (1, ""))
    if epochs < least:
        short = f"{method} has phases that do not fit into {epochs} epoch{'s' * (epochs > 1)}"
        print(f"warning: {short}: {what}; --epochs {least} or more has room for them", file=sys.stderr)


def build(config) -> nn.Module:
    """The method that ``config`` names, on its backbone, with fresh weights from torch's random state.

    Raises:
        UserError: if the method needs ``config.clusters`` and it is not set.
    """
    if needs_clusters(config.method) and not config.clusters:
        raise UserError(
            f"{config.method} must be given the number of clusters: pass --clusters K (in Python, clusters=K, or "
            "config.for_images(images), which takes the number of their classes)"
        )
    return METHODS[config.method](backbone(config.backbone, config.stem, config.width), config)
