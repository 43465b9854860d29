"""Quality measures of every image, and the issues that the page's tab Quality begins with (as cleanvision flags them).

Light and colour are measured on the pixels that the network is given, detail on the original at DETAIL px at most,
because a photograph that is blurred at its own size looks sharp at 64 px.
"""

from collections.abc import Callable, Iterable

import numpy as np
import torch
from torch import Tensor

from cdlearn.augment import luma

BLOCK = 512  # images measured at once
DETAIL = 256  # px: the side at which blur is looked for
LEVELS = 64  # steps of lightness whose frequencies give the information: 6 bits at most
EVEN = 0.01  # standard deviation of lightness up to which there is no detail that could be blurred
GREY = 0.2  # fraction of grey images from which on grey is usual in a folder, and no issue
ISSUES = (  # (name, measure, side, threshold, lowest, highest, meaning)
    ("dark", "highlights", "below", 0.32, 0, 1, "even the lightest 1% of the pixels are dark"),
    ("bright", "shadows", "above", 0.8, 0, 1, "even the darkest 5% of the pixels are bright"),
    ("blank", "contrast", "below", 0.02, 0, 0.3, "hardly anything differs from the mean colour"),
    ("blurred", "sharpness", "below", -1.8, -5, 1, "little fine detail for the contrast that there is (log10)"),
    ("low information", "information", "below", 2.5, 0, 6, "few levels of lightness are used (entropy in bits)"),
    ("grey", "colourfulness", "below", 0.01, 0, 0.3, "no colour, among images that have some"),
    ("small", "size", "below", -1.5, -4, 4, "the side is much shorter than usual (log2 of the ratio to the median)"),
    ("large", "size", "above", 1.5, -4, 4, "the side is much longer than usual (log2 of the ratio to the median)"),
    ("odd aspect", "aspect", "below", 0.4, 0, 1, "much longer than wide, or the reverse (shorter by longer side)"),
)


def light_and_colour(images: Tensor) -> dict[str, np.ndarray]:
    """uint8 (N, 3, H, W) -> (N,) each: ``highlights`` (99th percentile of lightness, in 0-1), ``shadows`` (5th),
    ``contrast`` (root mean square distance from the mean colour), ``information`` (entropy of lightness, bits),
    ``colourfulness`` (mean of how far red, green and blue are apart)."""
    rgb = images.float() / 255
    grey = luma(rgb).flatten(1)
    shadows, highlights = torch.quantile(grey, torch.tensor([0.05, 0.99]), dim=1)
    level = (grey * (LEVELS - 1)).round().long() + LEVELS * torch.arange(len(grey))[:, None]
    counted = torch.bincount(level.flatten(), minlength=LEVELS * len(grey)).view(len(grey), LEVELS)
    part = counted / grey.shape[1]
    found = {
        "highlights": highlights,
        "shadows": shadows,
        "contrast": rgb.flatten(2).var(2, correction=0).mean(1).sqrt(),
        "information": -torch.xlogy(part, part).sum(1) / np.log(2),
        "colourfulness": (rgb.amax(1) - rgb.amin(1)).flatten(1).mean(1),
    }
    return {name: of.numpy() for name, of in found.items()}


def sharpness(grey: np.ndarray) -> float:
    """Lightness (H, W) in 0-1 -> log10 of the Laplacian's variance over the picture's own; 0 where it is even.

    The quotient does not change with contrast, so a faint but sharp picture is not called blurred.
    """
    varied = grey.var()
    if varied <= EVEN**2 or min(grey.shape) < 3:
        return 0.0
    middle = grey[1:-1, 1:-1]
    waves = grey[:-2, 1:-1] + grey[2:, 1:-1] + grey[1:-1, :-2] + grey[1:-1, 2:] - 4 * middle
    return float(np.log10(max(waves.var() / varied, 1e-9)))


def measures(
    images: Tensor, detail: Callable[[int], np.ndarray], part: Callable, bar: Callable[[Iterable], Iterable] = iter
) -> dict[str, np.ndarray]:
    """(N,) float32 per measure of the pixels. ``detail(i)`` gives image i's lightness (H, W); ``part`` keeps blocks."""

    def made(start: int) -> dict[str, np.ndarray]:
        block = images[start : start + BLOCK]
        sharp = np.array([sharpness(detail(number)) for number in range(start, start + len(block))])
        return light_and_colour(block) | {"sharpness": sharp}

    parts = [part(f"quality-{start}", lambda start=start: made(start)) for start in bar(range(0, len(images), BLOCK))]
    return {name: np.concatenate([of[name] for of in parts]).astype(np.float32) for name in parts[0]}


def shape_measures(width: np.ndarray, height: np.ndarray) -> dict[str, np.ndarray]:
    """``aspect`` and ``size`` from sides in px, (N,) each; sides that are not known (0) count as usual."""
    known = (width > 0) & (height > 0)
    if not known.any():
        return {}
    width, height = (np.where(known, of, 1) for of in (width, height))
    side = np.sqrt(width * height)
    size = np.log2(side / np.median(side[known]))
    aspect = np.minimum(width, height) / np.maximum(width, height)
    found = {"aspect": np.where(known, aspect, 1), "size": np.where(known, size, 0)}
    return {name: of.astype(np.float32) for name, of in found.items()}


def issues(found: dict[str, np.ndarray]) -> list[dict]:
    """What the page's tab Quality lists: see ``quality`` of cdlearn.pages.contents.Contents."""
    keys = ("name", "measure", "side", "threshold", "low", "high", "meaning")
    made = [dict(zip(keys, issue, strict=True)) for issue in ISSUES if issue[1] in found]
    return [of for of in made if of["name"] != "grey" or (found["colourfulness"] < of["threshold"]).mean() < GREY]
