"""Which feature heads to show first, without any label, and what to say about each."""

import numpy as np
import torch
from scipy.stats import rankdata
from torch import Tensor, nn

from cdlearn.augment import TwoViews, central_square
from cdlearn.config import Config
from cdlearn.disentanglement import REPEATS, without_repeats

SHOWN = 16
LOOKED_AT = 1024  # images of which two views are compared
COMPARED = 20_000  # images from which the heads' correlations are taken
ALSO = 3  # heads that are named as similar, and as many as opposite
NAMED = 0.5  # ... where they correlate at least that much
PICTURES = 12  # images at each of top, middle and bottom


@torch.no_grad()
def agreement(model: nn.Module, images: Tensor, config: Config, seed: int = 0, batch: int = 256) -> np.ndarray:
    """How similarly each head ranks two random views of the same images: Spearman's rank correlation, (K,).

    images: uint8 (N, 3, H, W), of which LOOKED_AT are drawn with ``seed``; the views are those of the training. 1 is
    a head that the augmentation cannot move, 0 one that depends on crop and colours and not on the image.
    """
    device = next(model.parameters()).device
    drawn = torch.randperm(len(images), generator=torch.Generator().manual_seed(seed))[:LOOKED_AT].sort().values
    views, generator = TwoViews.of(config), torch.Generator(device).manual_seed(seed)
    outputs: tuple[list, list] = ([], [])
    for part in drawn.split(batch):
        for side, view in zip(outputs, views(central_square(images[part]).to(device), generator), strict=True):
            side.append(model.represent(view.contiguous(memory_format=torch.channels_last))["output"].float().cpu())
    return rank_correlation(*(torch.cat(side).numpy() for side in outputs))


def rank_correlation(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Spearman's correlation of each column of (N, K) with the same column of the other; 0 where one is constant."""
    one, other = (rankdata(side, axis=0) for side in (one, other))
    one, other = one - one.mean(axis=0), other - other.mean(axis=0)
    size = np.sqrt((one**2).sum(axis=0) * (other**2).sum(axis=0))
    return (one * other).sum(axis=0) / np.where(size > 0, size, 1)


def correlations(outputs: np.ndarray, seed: int = 0) -> np.ndarray:
    """Pearson's correlation of every two heads, (K, K), over at most COMPARED images; 0 with a constant head."""
    some = outputs[np.random.default_rng(seed).permutation(len(outputs))[:COMPARED]].astype(np.float32)
    some = some - some.mean(axis=0)
    length = np.linalg.norm(some, axis=0)
    some /= np.where(length > 0, length, 1)
    return some.T @ some


def scaled_outputs(output: np.ndarray) -> np.ndarray:
    """Outputs (N, K) scaled to [0, 1]: unchanged if they are in it, else each coordinate by its own range.

    CD's heads and the methods that assign clusters have outputs in [0, 1]. A coordinate of SimCLR's z or of a code is
    scaled so that its 1st and 99th percentile become 0 and 1.
    """
    if output.min() >= 0 and output.max() <= 1:
        return output
    low, high = np.quantile(output, (0.01, 0.99), axis=0)
    return ((output - low) / np.where(high > low, high - low, 1)).clip(0, 1).astype(np.float32)


def usefulness(spread: np.ndarray, agreed: np.ndarray, correlation: np.ndarray) -> np.ndarray:
    """What heads are ordered by, (K,): spread x agreement x the square root of how many heads agree with it.

    A head that hardly moves, or moves with the crop, carries no information about an image. Among the others the
    network itself votes: what many heads arrived at is what the training found again and again. On drawn swatches each
    of the four patterns has 56 to 65 of the 256 heads. By this vote the four come first; without it they are spread
    over the first twelve.
    """
    return spread * agreed.clip(0) * np.sqrt((np.abs(correlation) >= REPEATS).sum(axis=0).clip(1))


def described(outputs: np.ndarray, head: int, agreed: float, correlation: np.ndarray) -> dict:
    """The entry of one head; see ``heads`` of cdlearn.pages.contents.Contents.

    outputs: (N,) of this head; correlation: (K,) of it with every head.
    """
    order = np.argsort(-outputs, kind="stable")
    count = min(PICTURES, len(order))
    middle = np.argsort(np.abs(outputs - np.median(outputs)), kind="stable")[:count]
    others = np.delete(np.arange(len(correlation)), head)
    by_value = others[np.argsort(correlation[others], kind="stable")]
    return {
        "number": head,
        "on": float((outputs > 0.5).mean()),
        "agreement": float(agreed),
        "spread": float(outputs.std()),
        "same": [(int(o), float(correlation[o])) for o in by_value[::-1][:ALSO] if correlation[o] >= NAMED],
        "opposite": [(int(o), float(correlation[o])) for o in by_value[:ALSO] if correlation[o] <= -NAMED],
        "top": order[:count].tolist(),
        "middle": middle.tolist(),
        "bottom": order[::-1][:count].tolist(),
    }


def shown(outputs: np.ndarray, agreed: np.ndarray, seed: int = 0) -> list[dict]:
    """The heads to show, the most useful first. outputs: (N, K) in [0, 1]; agreed: (K,) from :func:`agreement`."""
    correlation = correlations(outputs, seed)
    useful = usefulness(outputs.std(axis=0, dtype=np.float64), agreed, correlation)
    return [described(outputs[:, h], h, agreed[h], correlation[h]) for h in without_repeats(useful, correlation, SHOWN)]
