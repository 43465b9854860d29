"""Does an explanation deserve belief? Is it steady, does it change with the weights, is the rest really unattended?"""

from collections.abc import Sequence

import numpy as np
from scipy.stats import rankdata
from torch import Tensor, nn

from cdlearn.explain import Explanation, ask, copies, explain_heads


def similarity(a: Explanation, b: Explanation, measure: str = "spearman", absolute: bool = False) -> float:
    """How alike two explanations over equally many segments are, -1 to 1; 0 where one of them says nothing.

    measure: "spearman" compares the order of the weights, "cosine" the weights themselves. ``absolute`` leaves the
    signs out: where a head looks, not which way it is moved.

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
    """The control of Adebayo et al. (2018): does the explanation change when the network's weights are others?

    Every explanation is compared (Spearman) with four others: of the same model with ``other copies`` (as alike as can
    be hoped for), of the same image for an ``other head``, of the same head for an ``other image`` (means over them
    all; NaN where there is none), and of the other model on the same copies, ``random weights`` (should be near 0).

    Args:
        other: the same network with fresh weights, ``cdlearn.train.fresh_model(config)``.
        settings: of explain_heads. Every image needs as many segments, as in a grid.

    Returns:
        A row an image and head: ``image``, ``head``, the four similarities, the same with "size only" behind the name
        where the signs are left out, ``fidelity`` and ``fidelity, random weights``.
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
                    alike = [similarity(one[head], e, absolute=bool(note)) for e in others]
                    row[kind + note] = float(np.mean(alike)) if alike else float("nan")
            row |= {"fidelity": one[head].fidelity, "fidelity, random weights": fresh[number][head].fidelity}
            rows.append(row)
    return rows


def remainder(
    model: nn.Module, images: Tensor, explained: Sequence[Explanation], size: int, most: int = 5, hide="mean",
    draws: int = 50, seed: int = 0,
) -> list[dict]:  # fmt: skip
    """What a head still answers when only the best segments of its explanation are shown, or all but these.

    Beside it the same with as many segments drawn at random, the mean over ``draws``: what any would do.

    images: uint8 (N, 3, H, W); explained: N of them; ``hide`` as in explain_heads.

    Returns:
        A row an image: ``head``, and its answers with ``all shown``, ``all hidden``, ``only the best``, ``all but the
        best``, ``only random``, ``all but random``.
    """
    rows, generator = [], np.random.default_rng(seed)
    for picture, one in zip(images.permute(0, 2, 3, 1).numpy(), explained, strict=True):
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
