"""Swatches of printed cloth, made in code: images whose every attribute is known.

A swatch is a lattice of one motif on a plain ground. Its *attributes* survive the augmentation. Its *nuisances* (hue,
lightness, contrast, place) do not, and they differ from image to image. The *class* is the pattern: which form, at
which scale, in which layout. Any two of these three fix the pattern, and any two are independent of each other. Tone is
independent of the pattern.

They are so plain because contrastive learning takes the cheapest cue that distinguishes instances. A free angle, a
phase between two textures and a range of hues are such cues: in earlier designs they were learned instead of the
attributes.
"""

import numpy as np
import torch
from torch import Tensor

from cdlearn.data.imageset import ImageSet

SHAPES = 4096  # images of the default data set
CLASSES = ("dots, small, grid", "dots, large, brick", "bars, small, brick", "bars, large, grid")
VALUES: dict[str, tuple[str, ...]] = {
    "form": ("dots", "bars"),
    "scale": ("small", "large"),
    "layout": ("grid", "brick"),
    "tone": ("light on dark", "dark on light"),
}
PERIOD = (7.0, 13.0)  # pixels from motif to motif, small and large, in an image of 32 px


def make_shapes(n: int, size: int = 32, seed: int = 0) -> ImageSet:
    """n swatches of size x size pixels, the same for the same seed on every machine.

    Every combination of attribute values comes equally often (as far as 8 divides n), in random order.

    Returns:
        An ImageSet with the patterns as labels and with the ``attributes`` of VALUES.

    Raises:
        ValueError: for n or size below 1.
    """
    if n < 1 or size < 1:
        raise ValueError(f"make_shapes needs at least 1 image of at least 1 pixel, got {n} of {size}")
    draws = np.random.default_rng(seed)
    combination = torch.from_numpy(draws.permutation(n) % 8)
    form, scale, tone = (combination >> bit & 1 for bit in range(3))
    attributes = {"form": form, "scale": scale, "layout": form ^ scale, "tone": tone}
    nuisances = torch.from_numpy(draws.random((n, 5)))
    parts = [  # in parts, because the float64 planes of 4,096 images would not fit the cache
        paint(size, {name: values[start : start + 256] for name, values in attributes.items()}, some)
        for start, some in zip(range(0, n, 256), nuisances.split(256), strict=True)
    ]
    return ImageSet(torch.cat(parts), 2 * form + scale, CLASSES, attributes, VALUES)


def paint(size: int, attributes: dict[str, Tensor], nuisances: Tensor) -> Tensor:
    """Attribute values (M,) and nuisances (M, 5) in 0-1 -> uint8 (M, 3, size, size).

    It uses float64 and nothing harder than a square root, so that all machines round every pixel identically.
    """
    right, down, hue, lightness, contrast = (column.view(-1, 1, 1) for column in nuisances.unbind(1))
    form, scale, layout, tone = (attributes[name].view(-1, 1, 1) for name in VALUES)
    period = torch.where(scale == 1, PERIOD[1], PERIOD[0]).double() * size / 32
    pixel = torch.arange(size, dtype=torch.float64) + 0.5
    row = pixel.view(1, -1, 1) / period + down
    shift = 0.5 * layout * (row.floor() % 2)  # bricks: odd rows by half a cell
    column = pixel.view(1, 1, -1) / period + right + shift
    across, along = ((t - t.floor()) * 2 - 1 for t in (column, row))  # in a cell, both from -1 to 1
    dot = (across * across + along * along).sqrt() - 0.8
    bar = torch.maximum(across.abs() - 0.3, along.abs() - 0.95)
    outside = torch.where(form == 0, dot, bar)  # distance from the motif's edge in half cells, negative within
    cover = (0.5 - outside * period / 2).clamp(0, 1)  # fraction of the pixel that is printed
    # both tones get the same mean lightness; otherwise the mean pixel would reveal the tone
    relief = torch.where(tone == 0, 1.0, -1.0) * (cover - cover.mean((1, 2), keepdim=True))
    light = 0.4 + 0.2 * lightness + (0.5 + 0.2 * contrast) * relief
    return colour(light.clamp(0.03, 0.97), hue)


def colour(light: Tensor, hue: Tensor) -> Tensor:
    """Lightness (M, S, S), one hue per image (M, 1, 1), both 0-1, at half saturation (HSL) -> uint8 (M, 3, S, S)."""
    chroma = 0.5 * torch.minimum(light, 1 - light)
    turns = ((offset + 12 * hue) % 12 for offset in (0, 8, 4))
    rgb = [light - chroma * torch.minimum(t - 3, 9 - t).clamp(-1, 1) for t in turns]
    return (torch.stack(rgb, 1) * 255).round().to(torch.uint8)
