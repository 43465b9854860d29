"""Printed cloth whose attributes are independent of one another, under clutter: what disentanglement is tested on.

An image is a lattice of one motif on striped cloth, printed badly: motifs are missing, moved and stained, and the cloth
has grain. Every combination of the five attributes comes equally often, so none of them predicts another. (In
cdlearn.data.shapes any two of form, scale and layout give the third.)

With the views of the laptop preset (crops of half the area or more, flips, any hue):

* Kept are the five *attributes*. No view mirrors a form into another. A crop enlarges by at most 1.63 along one axis
  and 1.41 on both, and the two scales differ by more. No view turns rows into columns, or light into dark.
* Destroyed are the *nuisances*: hue, lightness and contrast by the colours, the lattice's place and the stripes' phase
  by crop and flip. Stains, gaps and grain are partly left. They distinguish images, and they hide the attributes.

Mean and contrast are set for every image. The forms print equal fractions of the cloth. So neither the mean pixel nor
the spread of the pixels predicts an attribute.
"""

import numpy as np
import torch
from torch import Tensor

from cdlearn.data.imageset import ImageSet
from cdlearn.data.shapes import colour

MOTIFS = 4096  # images of the default data set: 64 of each combination
VALUES = {
    "form": ("dots", "rings", "bars", "crosses"),
    "scale": ("small", "large"),
    "layout": ("grid", "brick"),
    "tone": ("light on dark", "dark on light"),
    "stripes": ("horizontal", "vertical"),
}
CLASSES = tuple(f"{scale} {form}" for form in VALUES["form"] for scale in VALUES["scale"])
# All lengths are pixels of an image of 32 px; those of motifs are half cells
PERIOD = (7.0, 12.5)  # from motif to motif, small and large
STRIPE = 4.0  # from stripe to stripe
STRIPES, GRAIN = (0.4, 0.9), 0.5  # how strong, where the difference between motif and cloth is 1
GAPS = 0.1  # fraction of the motifs that are missing
ASTRAY = 0.1  # how far a motif may lie from its place, to either side
STAINS = 3
RADIUS = (2.0, 4.5)  # of a stain
CELLS = 8  # to a side: more than an image shows


def make_motifs(n: int, size: int = 32, seed: int = 0) -> ImageSet:
    """n images of size x size pixels, the same for the same seed on every machine.

    Every combination of attribute values comes equally often (as far as 64 divides n), in random order.

    Returns:
        An ImageSet with the attributes of VALUES, and with form and scale together as labels.

    Raises:
        ValueError: for n or size below 1.
    """
    if n < 1 or size < 1:
        raise ValueError(f"make_motifs needs at least 1 image of at least 1 pixel, got {n} of {size}")
    draws = np.random.default_rng(seed)
    rest, attributes = torch.from_numpy(draws.permutation(n) % 64), {}
    for name, values in VALUES.items():
        attributes[name], rest = rest % len(values), rest // len(values)
    parts = []  # in parts, because the float64 planes of 4,096 images would not fit the cache
    for start in range(0, n, 256):
        some = {name: values[start : start + 256] for name, values in attributes.items()}
        count = len(some["form"])
        shapes = {"image": (count, 7), "cells": (count, 3, CELLS * CELLS), "stains": (count, STAINS, 4)}
        nuisances = {name: torch.from_numpy(draws.random(shape)) for name, shape in shapes.items()}
        nuisances["grain"] = torch.from_numpy(draws.random((count, 32, 32)))
        parts.append(paint(size, some, nuisances))
    labels = 2 * attributes["form"] + attributes["scale"]
    return ImageSet(torch.cat(parts), labels, CLASSES, attributes, VALUES)


def paint(size: int, attributes: dict[str, Tensor], nuisances: dict[str, Tensor]) -> Tensor:
    """Attribute values (M,) and nuisances in 0-1 (see make_motifs) -> uint8 (M, 3, size, size).

    It uses float64 and nothing harder than a square root, so that all machines round every pixel identically.
    """
    tone, stripes = (attributes[name].view(-1, 1, 1) for name in ("tone", "stripes"))
    right, down, phase, strength, hue, lightness, contrast = nuisances["image"].view(-1, 7, 1, 1).unbind(1)
    pixel = (torch.arange(size, dtype=torch.float64) + 0.5) * 32 / size
    printed = torch.where(tone == 0, 1.0, -1.0) * lattice(pixel, attributes, right, down, nuisances["cells"], size / 32)
    wave = torch.where(stripes == 0, pixel.view(1, -1, 1), pixel.view(1, 1, -1)) / STRIPE + phase
    woven = (STRIPES[0] + (STRIPES[1] - STRIPES[0]) * strength) * ((wave - wave.floor() - 0.5).abs() * 2 - 0.5)
    near = pixel.long()
    grain = nuisances["grain"][:, near][:, :, near] - 0.5
    x = stained(printed + woven + GRAIN * grain, pixel, nuisances["stains"])
    x = (x - x.mean((1, 2), keepdim=True)) / (x.var((1, 2), correction=0, keepdim=True) + 1e-12).sqrt()
    light = 0.4 + 0.2 * lightness + (0.15 + 0.06 * contrast) * x
    return colour(light.clamp(0.03, 0.97), hue)


def lattice(pixel: Tensor, attributes: dict[str, Tensor], right, down, cells: Tensor, sharpness: float) -> Tensor:
    """The fraction of every pixel that is printed, (M, S, S).

    pixel: the pixels' centres (S,); right, down: the lattice's place (M, 1, 1); cells: 0-1, whether each motif is
    missing and how far it lies astray (M, 3, CELLS^2); sharpness: pixels per pixel of an image of 32 px.
    """
    form, scale, layout = (attributes[name].view(-1, 1, 1) for name in ("form", "scale", "layout"))
    period = torch.where(scale == 1, PERIOD[1], PERIOD[0]).double()
    row = pixel.view(1, -1, 1) / period + down
    column = pixel.view(1, 1, -1) / period + right + 0.5 * layout * (row.floor() % 2)  # bricks: odd rows by half a cell
    cell = (row.floor() * CELLS + column.floor()).long().flatten(1)
    gap, aside, up = (table.gather(1, cell).view(column.shape) for table in cells.unbind(1))
    across, along = (
        (t - t.floor()) * 2 - 1 - ASTRAY * (2 * moved - 1) for t, moved in ((column, aside), (row, up))
    )  # in a cell, both from -1 to 1
    width, height, radius = across.abs(), along.abs(), (across * across + along * along).sqrt()
    # distance from the motif's edge, negative within; each form prints 0.28 of its cell
    dot = radius - 0.597
    ring = (radius - 0.691).abs() - 0.129
    bar = torch.maximum(width - 0.35, height - 0.8)
    cross = torch.minimum(torch.maximum(width - 0.185, height - 0.85), torch.maximum(width - 0.85, height - 0.185))
    outside = torch.where(form < 2, torch.where(form == 0, dot, ring), torch.where(form == 2, bar, cross))
    return (0.5 - outside * period / 2 * sharpness).clamp(0, 1) * (gap >= GAPS)


def stained(x: Tensor, pixel: Tensor, stains: Tensor) -> Tensor:
    """Discs of one lightness over x (M, S, S); stains (M, STAINS, 4): place, radius, lightness."""
    for stain in stains.view(len(x), STAINS, 4, 1, 1).unbind(1):
        right, down, radius, light = stain.unbind(1)
        radius = RADIUS[0] + (RADIUS[1] - RADIUS[0]) * radius
        away = (pixel.view(1, 1, -1) - 32 * right).square() + (pixel.view(1, -1, 1) - 32 * down).square()
        x = torch.where(away < radius * radius, 2 * light - 1, x)
    return x
