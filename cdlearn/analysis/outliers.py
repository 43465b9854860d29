"""Which images differ from the rest, and why: two lists, because each misses what the other finds.

One is of unusual light and colour, the other of what is far from its neighbours to the network and far from the mean of
its features (Mahalanobis distance). A black picture sits among dark ones to the network; a page of text has the
statistics of nothing else. An image is as strange as the list in which it ranks higher.
"""

import numpy as np
import torch
from scipy.stats import rankdata
from sklearn.covariance import LedoitWolf
from sklearn.neighbors import NearestNeighbors
from torch import Tensor

from cdlearn.augment import luma, to_size

SIDE = 32  # px at which colours are counted
EVEN = 2 / 255  # steps of lightness up to which two pixels are even: photographs have little of it, drawings much
BLOCK = 1024
NEAR = 10  # neighbours among the statistics
TELLING = 0.01  # of the images, the strangest in light and colour: these reasons are clearer than those on the network
FITTED = 20_000  # images that the covariance is taken from
WORDS = {  # statistic -> what an image is called that has little or much of it
    "lightness": ("darker than the others", "lighter than the others"),
    "contrast": ("little contrast", "strong contrast"),
    "saturation": ("hardly any colour", "strong colours"),
    "saturation_spread": ("colours of one strength", "colours of unequal strength"),
    "detail_across": ("hardly any detail", "much fine detail"),
    "detail_down": ("hardly any detail", "much fine detail"),
    "colours": ("few colours", "many colours"),
    "evenness": ("no even area", "even areas, as drawn"),
}
NAMED = (  # a measure of cdlearn.analysis.quality, from where on (below, above), and the words; before any other
    ("highlights", 0.15, None, "nearly black"),
    ("shadows", None, 0.92, "nearly white"),
    ("contrast", 0.03, None, "nearly one colour"),
)
SCORE = "fraction of the images that are less strange, by light and colour or by the network, whichever is larger"


def statistics(images: Tensor) -> np.ndarray:
    """uint8 (N, 3, H, W) -> (N, 8) float32, in the order of WORDS."""
    parts = [torch.stack(list(_block(part).values()), 1) for part in images.split(BLOCK)]
    return torch.cat(parts).numpy()


def _block(images: Tensor) -> dict[str, Tensor]:
    pixels = images.float() / 255
    grey = luma(pixels)[:, 0]
    high, low = pixels.amax(1), pixels.amin(1)
    saturation = (high - low) / high.clamp(min=1e-3)
    across, down = grey.diff(dim=2), grey.diff(dim=1)
    steps = (to_size(images, SIDE) * 15).round().long()
    sorted_colours = (steps[:, 0] * 256 + steps[:, 1] * 16 + steps[:, 2]).flatten(1).sort(1).values
    return {
        "lightness": grey.mean((1, 2)),
        "contrast": grey.std((1, 2)),
        "saturation": saturation.mean((1, 2)),
        "saturation_spread": saturation.std((1, 2)),
        "detail_across": across.abs().mean((1, 2)),
        "detail_down": down.abs().mean((1, 2)),
        "colours": ((sorted_colours.diff(dim=1) != 0).sum(1) + 1).float().log(),
        "evenness": (across[:, :-1].abs() < EVEN).logical_and(down[:, :, :-1].abs() < EVEN).float().mean((1, 2)),
    }


def robust(values: np.ndarray) -> np.ndarray:
    """Columns of (N, D) in median absolute deviations from their median, as standard deviations of a normal column."""
    away = values - np.median(values, axis=0)
    width = 1.4826 * np.median(np.abs(away), axis=0)
    width = np.where(width > 1e-6, width, values.std(axis=0))  # more than half of the images may be equal
    return away / np.where(width > 1e-6, width, 1)


def lonely(values: np.ndarray) -> np.ndarray:
    """Mean distance of each row of (N, D) to its NEAR nearest others, (N,)."""
    count = min(NEAR, len(values) - 1)
    if count < 1:
        return np.zeros(len(values))
    distance, _ = NearestNeighbors(n_neighbors=count + 1).fit(values).kneighbors(values)
    return distance[:, 1:].mean(axis=1)


def far_from_mean(rows: np.ndarray, seed: int) -> np.ndarray:
    """Mahalanobis distance of each row of (N, D), squared, (N,); the covariance is Ledoit and Wolf's."""
    if len(rows) < 3:
        return np.zeros(len(rows))
    drawn = np.random.default_rng(seed).permutation(len(rows))[:FITTED]
    return LedoitWolf().fit(rows[drawn]).mahalanobis(rows)


def ranked(statistic: np.ndarray, rows: np.ndarray, near: np.ndarray, seed: int = 0) -> dict[str, np.ndarray]:
    """``rank`` (N,), 1 the strangest, and ``score`` (N,) in [0, 1]; for the reasons ``lists`` (N, 2), the two ranks,
    ``alone`` bool (N,), whether the neighbours make it strange to the network rather than the features, and ``away``
    (N, 8), how far each statistic is from the median.

    statistic: from :func:`statistics`; rows: (N, D) unit features; near: (N,) mean distance to the nearest neighbours.
    The network's list goes by the product of its two ranks. The better rank of the two lists decides, then both.
    """
    away = robust(statistic)
    features, alone = rankdata(-far_from_mean(rows, seed)), rankdata(-near)
    lists = np.stack([rankdata(-lonely(away)), rankdata(features * alone)])
    order = np.lexsort((np.log(lists).sum(axis=0), lists.min(axis=0)))
    rank = np.empty(len(order), np.int64)
    rank[order] = np.arange(1, len(order) + 1)
    return {
        "rank": rank,
        "score": 1 - lists.min(axis=0) / len(order),
        "lists": lists.T,
        "alone": alone < features,
        "away": away,
    }


def reason(found: dict[str, np.ndarray], measures: dict[str, np.ndarray], image: int) -> str:
    """Why an image is strange, in a few words. found: from :func:`ranked`; measures: cdlearn.analysis.quality's."""
    for measure, below, above, words in NAMED:
        value = measures[measure][image]
        if (below is not None and value < below) or (above is not None and value > above):
            return words
    lists, away = found["lists"][image], found["away"][image]
    if lists[0] > max(TELLING * len(found["rank"]), lists.min()):
        return "different from its neighbours" if found["alone"][image] else "unusual to the network"
    most = int(np.abs(away).argmax())
    return list(WORDS.values())[most][int(away[most] > 0)]
