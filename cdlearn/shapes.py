"""Swatches of printed cloth, made in code: images whose every attribute is known.

A swatch is a lattice of one motif on a plain ground. Its *attributes* survive the augmentation; its *nuisances* (hue,
lightness, contrast, place) do not, and differ from image to image.
"""

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
CLASSES = ("dots", "rings", "tiles", "frames")
PERIOD = (7.0, 12.0)  # pixels between motifs, small and large, in an image of 32 px


def make_shapes(n: int, size: int = 32, seed: int = 0) -> ImageSet:
    """n swatches of size x size pixels, the same for the same seed on every machine.

    Returns:
        An ImageSet whose labels are the class and whose ``attributes`` are those of VALUES.
    """
    draws = np.random.default_rng(seed)
    attributes = deal_attributes(n, draws)
    nuisances = torch.from_numpy(draws.random((n, 5)))
    parts = [
        paint(size, {name: values[start : start + 512] for name, values in attributes.items()}, some)
        for start, some in zip(range(0, n, 512), nuisances.split(512), strict=True)
    ]
    return ImageSet(torch.cat(parts), 2 * attributes["form"] + attributes["fill"], CLASSES, attributes)


def deal_attributes(n: int, draws: np.random.Generator) -> dict[str, Tensor]:
    """Every combination equally often, up to n mod 8, in random order: name -> value numbers (n,)."""
    combination = torch.from_numpy(draws.permutation(n) % 8)
    form, fill, tone = (combination >> bit & 1 for bit in range(3))
    return {"form": form, "fill": fill, "scale": form ^ fill, "tone": tone}


def paint(size: int, attributes: dict[str, Tensor], nuisances: Tensor) -> Tensor:
    """Attribute values (M,) and nuisances (M, 5) in 0-1 -> uint8 (M, 3, size, size).

    In float64, with nothing harder than a square root, so that no machine rounds a pixel otherwise.
    """
    right, down, hue, lightness, contrast = (column.view(-1, 1, 1) for column in nuisances.unbind(1))
    form, fill, scale, tone = (attributes[name].view(-1, 1, 1) for name in VALUES)
    period = torch.where(scale == 1, PERIOD[1], PERIOD[0]) * size / 32
    pixel = torch.arange(size, dtype=torch.float64) + 0.5
    u = ((pixel.view(1, 1, -1) / period + right) % 1) * 2 - 1  # across the cell, -1 to 1
    v = ((pixel.view(1, -1, 1) / period + down) % 1) * 2 - 1
    inside = torch.where(form == 0, (u * u + v * v).sqrt() - 0.8, torch.maximum(u.abs(), v.abs()) - 0.7)
    inside = torch.where(fill == 1, (inside + 0.17).abs() - 0.17, inside)  # signed distance to the edge
    cover = (0.5 - inside * period / 2).clamp(0, 1)  # share of the pixel under print
    # the mean lightness is the same for both tones, or the mean pixel would give the tone away
    sign = torch.where(tone == 0, 1.0, -1.0)
    light = 0.3 + 0.4 * lightness + sign * (0.4 + 0.4 * contrast) * (cover - cover.mean((1, 2), keepdim=True))
    light = light.clamp(0.03, 0.97)
    return colour(light, hue)


def colour(light: Tensor, hue: Tensor) -> Tensor:
    """Lightness (M, S, S) and one hue an image (M, 1, 1), both 0-1, at half saturation (HSL) -> uint8 (M, 3, S, S)."""
    chroma = 0.5 * torch.minimum(light, 1 - light)
    k = [(offset + 12 * hue) % 12 for offset in (0, 8, 4)]
    rgb = [light - chroma * torch.minimum(t - 3, 9 - t).clamp(-1, 1) for t in k]
    return (torch.stack(rgb, 1) * 255).round().to(torch.uint8)
