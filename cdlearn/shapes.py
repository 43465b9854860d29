"""Swatches of printed cloth, made in code: images whose every attribute is known.

A swatch is a lattice of one motif on a plain ground. Its *attributes* survive the augmentation; its *nuisances* (hue,
lightness, contrast, place, the turn of each motif) do not, and differ from image to image.
"""

import colorsys

import numpy as np
import torch
from torch import Tensor

from cdlearn.data import ImageSet

SHAPES = 4096  # images of the default data set
VALUES = {
    "form": ("round", "square"),
    "fill": ("solid", "outline"),
    "scale": ("small", "large"),
    "tone": ("light on dark", "dark on light"),
}
