"""Can an explanation be trusted? Is it steady, does it change with the weights, does the head ignore the rest?"""

from collections.abc import Sequence

import numpy as np
from scipy.stats import rankdata
from torch import Tensor, nn

from cdlearn.augment import central_square
from cdlearn.explain import Explanation, ask, copies, explain_heads


def similarity(a: Explanation, b: Explanation, measure: str = "spearman", absolute: bool = False) -> float:
    """How similar two explanations with equally many segments are: -1 to 1, and 0 when one of them is constant.

    measure: "spearman" compares the order of the weights, "cosine" the weights themselves. ``absolute`` ignores the
    signs: it compares which segments matter to a head, not whether its output rises or falls.

    Raises:
        ValueError: for another measure, or different numbers of segments.
    """
    if len(a.weights) != len(b.weights):
        raise ValueError(f"{len(a.weights)} segments cannot be compared with {len(b.weights)}")
    if measure not in ("spearman", "cosine"):
        raise ValueError(f"unknown measure {measure!r}; there are spearman and cosine")
    x, y = (np.abs(e.weights) if absolute else e.weights for e in (a, b))
    if measure == "spearman":
        x, y = (rankdata(v) - (len(v) + 1) / 2 for v in (x, y))
    scale = np.linalg.norm(x) * np.linalg.norm(y)
    return float(x @ y / scale) if scale > 0 else 0.0


def weights_matter(
    model: nn.Module, other: nn.Module, images: Tensor, heads: Sequence[int], size: int, seed: int = 0, **settings
) -> list[dict]:
    """The control of Adebayo et al. (2018): does the explanation change when the network has other weights?

    Every explanation is compared (Spearman) with four others. ``other copies``: the same model on other random copies,
    the most that can be hoped for. ``other head``: the same image. ``other image``: the same head. The last two are
    means over all others, NaN if there is none. ``random weights``: the other model on the same copies, ideally near 0.

    Args:
        other: the same network with fresh weights, ``cdlearn.trainer.fresh_model(config)``.
        settings: passed on to explain_heads. All images need equally many segments, as in a grid.

    Returns:
        One row per image and head: ``image``, ``head``, the four similarities, the same without signs (their
        names end in ", size only"), ``fidelity`` and ``fidelity, random weights``.
    """
    first = explain_heads(model, images, heads, size, seed=seed, **settings)
    again = explain_heads(model, images, heads, size, seed=seed + 1, **settings)
    fresh = explain_heads(other, images, heads, size, seed=seed, **settings)
    rows = []
    for number, one in enumerate(first):
        for head in heads:
            row = {"image": number, "head": head}
            beside = {
                "other copies": [again[number][head]],
                "other head": [one[k] for k in heads if k != head],
                "other image": [found[head] for found in first if found is not one],
                "random weights": [fresh[number][head]],
            }
            for note in ("", ", size only"):
                for kind, others in beside.items():
                    similar = [similarity(one[head], e, absolute=bool(note)) for e in others]
                    row[kind + note] = float(np.mean(similar)) if similar else float("nan")
            row |= {"fidelity": one[head].fidelity, "fidelity, random weights": fresh[number][head].fidelity}
            rows.append(row)
    return rows


def remainder(
    model: nn.Module, images: Tensor, explained: Sequence[Explanation], size: int, most: int = 5, hide="mean",
    draws: int = 50, seed: int = 0,
) -> list[dict]:  # fmt: skip
    """A head's output when only the best segments of its explanation are shown, or all but these.

    The comparison is the mean over ``draws`` random choices of as many segments.

    images: uint8 (N, 3, H, W); explained: N of them; ``hide`` as in explain_heads.

    Returns:
        One row per image: ``head``, and its outputs with ``all shown``, ``all hidden``, ``only the best``,
        ``all but the best``, ``only random``, ``all but random``.
    """
    rows, generator = [], np.random.default_rng(seed)
    for picture, one in zip(central_square(images).permute(0, 2, 3, 1).numpy(), explained, strict=True):
        count = len(one.weights)
        best = np.zeros(count)
        best[np.argsort(-one.weights, kind="stable")[:most]] = 1
        chance = np.array([generator.permutation(best) for _ in range(draws)])
        shown = np.vstack([np.ones(count), np.zeros(count), best, 1 - best, chance, 1 - chance])
        y = ask(model, copies(picture, one.segments, shown, hide), size)[:, one.head]
        row = dict(zip(("all shown", "all hidden", "only the best", "all but the best"), y[:4].tolist(), strict=True))
        row |= {"only random": y[4:][:draws].mean().item(), "all but random": y[4:][draws:].mean().item()}
        rows.append({"head": one.head} | row)
    return rows
