"""Pieces of real photographs that come with scikit-image: which photograph is a piece from?

The photographs are in the public domain or CC0 (PHOTOGRAPHS names their makers), and they are installed with the
package, so no network is needed. A piece is a square at a random place. It is made grey, and its mean and contrast are
standardised. Then it gets a random tint, lightness and contrast. So colour and light tell nothing of the photograph;
only what the piece shows does. The middle of every photograph is kept out of training: see ``ground``.
"""

from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np
import skimage.data
import torch
from PIL import Image

from cdlearn.data.imageset import ImageSet
from cdlearn.data.shapes import colour

PATCHES = 4096  # pieces of the default data set
HELD_OUT = 1024  # pieces of the held-out ground
ZOOMS = (48, 64, 80)  # sides of a piece in pixels of the photograph
MIDDLE = (0.375, 0.625)  # the held-out ground, as a share of the width; a quarter is wider than the largest piece
FLATTEST = 8.0  # grey levels: the least standard deviation of a piece, because noise made visible is no texture


@dataclass(frozen=True)
class Photograph:
    """One of scikit-image's photographs, with the scale at which it is used, and its credit."""

    name: str
    function: str  # in skimage.data
    kind: str
    credit: str
    licence: str
    scale: float = 1.0


PHOTOGRAPHS = (
    Photograph("brick", "brick", "texture", "CC0Textures, Bricks25", "CC0"),
    Photograph("grass", "grass", "texture", "linolafett, Grass 01", "CC0"),
    Photograph("gravel", "gravel", "texture", "CC0Textures, Gravel04", "CC0"),
    Photograph("coins", "coins", "object", "Brooklyn Museum, Greek coins from Pompeii", "no known restrictions"),
    Photograph("galaxies", "hubble_deep_field", "texture", "NASA, Hubble eXtreme Deep Field", "public domain", 0.6),
    Photograph("tissue", "immunohistochemistry", "texture", "CMMI, colonic glands", "no known restrictions"),
    Photograph("cat", "cat", "object", "Stefan van der Walt, Chelsea", "CC0"),
    Photograph("coffee", "coffee", "object", "Rachel Michetti, Pikolo Espresso Bar", "CC0"),
    Photograph("writing", "text", "texture", "Wikipedia, Corner.png", "public domain"),
    Photograph("retina", "retina", "object", "Mikael Haggstrom, normal left eye", "CC0", 0.4),
)


@lru_cache(maxsize=32)
def grey(photograph: Photograph) -> np.ndarray:
    """The photograph as uint8 (H, W), by the luma weights of ITU-R BT.601 in whole numbers, at its scale."""
    pixels = getattr(skimage.data, photograph.function)()
    if pixels.ndim == 3:
        pixels = (pixels[..., :3].astype(np.int64) @ np.array([299, 587, 114]) // 1000).astype(np.uint8)
    if photograph.scale == 1:
        return pixels
    height, width = (round(side * photograph.scale) for side in pixels.shape)
    return np.asarray(Image.fromarray(pixels).resize((width, height), Image.Resampling.BOX))


def span(width: int, held_out: bool, place: float, side: int) -> int:
    """The left edge of a piece of this side at ``place``, 0-1, of the free places of its ground."""
    low, high = (round(width * share) for share in MIDDLE)
    if held_out:
        return low + int(place * (high - low - side + 1))
    left, right = low - side + 1, width - high - side + 1  # free places on either side
    at = int(place * (left + right))
    return at if at < left else high + at - left


def make_patches(n: int, size: int = 64, seed: int = 0, held_out: bool = False) -> ImageSet:
    """n pieces of size x size pixels, the same for the same seed on every machine.

    held_out: from the middle quarter of every photograph, which no other piece touches, instead of from the rest.

    Returns:
        An ImageSet with the photographs as labels, and with the attributes ``kind`` (texture or object) and ``zoom``.
    """
    if n < 1 or size < 1:
        raise ValueError(f"make_patches needs at least 1 piece of at least 1 pixel, got {n} of {size}")
    draws = np.random.default_rng([seed, held_out])
    labels = draws.permutation(n) % len(PHOTOGRAPHS)
    zoom = draws.integers(len(ZOOMS), size=n)
    pieces = np.empty((n, size, size), np.uint8)
    for i in range(n):
        photograph = grey(PHOTOGRAPHS[labels[i]])
        side = ZOOMS[zoom[i]]
        while True:
            down, right = draws.random(2)
            top = int(down * (photograph.shape[0] - side + 1))
            left = span(photograph.shape[1], held_out, right, side)
            piece = photograph[top : top + side, left : left + side]
            if piece.std() >= FLATTEST:
                break
        pieces[i] = np.asarray(Image.fromarray(piece).resize((size, size), Image.Resampling.BICUBIC))
    light, tint = standardised(pieces, draws.random((n, 3)))
    images = torch.cat([colour(a, b) for a, b in zip(light.split(256), tint.split(256), strict=True)])
    kinds = torch.tensor([int(p.kind == "object") for p in PHOTOGRAPHS])
    labels = torch.from_numpy(labels)
    return ImageSet(
        images, labels, tuple(p.name for p in PHOTOGRAPHS), {"kind": kinds[labels], "zoom": torch.from_numpy(zoom)}
    )


def standardised(pieces: np.ndarray, nuisances: np.ndarray):
    x = torch.from_numpy(pieces).double()
    mean, std = x.mean((1, 2), keepdim=True), x.std((1, 2), keepdim=True)
    hue, lightness, contrast = (torch.from_numpy(nuisances[:, i]).view(-1, 1, 1) for i in range(3))
    light = 0.4 + 0.2 * lightness + (0.14 + 0.06 * contrast) * (x - mean) / std
    return light.clamp(0.03, 0.97), hue
