"""What each feature head learned: its AUC for known attributes, and the images with its largest and smallest outputs.

And whether the heads are *disentangled*, so that each encodes one attribute only: the fraction of heads that encode
exactly one. The published measures of that, MIG and DCI, are in cdlearn.mig_dci.
"""

from collections.abc import Callable

import numpy as np
from scipy.optimize import linear_sum_assignment
from scipy.stats import rankdata
from torch import Tensor

REPEATS = 0.7  # |correlation| from which on two heads output the same


def rank_auc(outputs: np.ndarray, is_value: np.ndarray) -> np.ndarray:
    """The chance that an image with the value has the larger output than one without (Mann-Whitney, ties half).

    outputs: (N, K); is_value: bool (N,). Returns (K,): 0.5 for an uninformative head, 1 or 0 for a perfect one.

    Raises:
        ValueError: if all images have the value, or none.
    """
    positives = int(is_value.sum())
    negatives = len(is_value) - positives
    if not positives or not negatives:
        raise ValueError("rank_auc needs images with the value and without it")
    return auc_of_ranks(rankdata(outputs, axis=0), is_value)


def auc_of_ranks(ranks: np.ndarray, is_value: np.ndarray) -> np.ndarray:
    """:func:`rank_auc` from ranks (N, K). Ranking is slow, so hundreds of permutations share it."""
    positives = int(is_value.sum())
    return (is_value @ ranks - positives * (positives + 1) / 2) / (positives * (len(is_value) - positives))


def in_halves(outputs: Tensor | np.ndarray, generator: np.random.Generator) -> tuple[tuple, Callable]:
    """Cut the images of outputs (N, K) into two random halves: one to choose on, one to score on.

    Returns:
        The numbers of the images of both halves, and a function of ``is_value``, bool (N,). It gives the AUC of each
        head: on the first half, folded to 0.5-1, and on the second half with the sign of the first.
    """
    outputs = np.asarray(outputs, dtype=np.float32)
    order = generator.permutation(len(outputs))
    halves = order[: len(order) // 2], order[len(order) // 2 :]
    ranks = [rankdata(outputs[half], axis=0) for half in halves]

    def held_out(is_value: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        first, second = (auc_of_ranks(r, is_value[half]) for r, half in zip(ranks, halves, strict=True))
        return np.maximum(first, 1 - first), np.where(first >= 0.5, second, 1 - second)

    return halves, held_out


def shuffled(values: np.ndarray, halves: tuple, generator: np.random.Generator) -> np.ndarray:
    """A copy of values (N,) in random order within each half."""
    values = values.copy()
    for half in halves:
        values[half] = generator.permutation(values[half])
    return values


def attribute_scores(
    outputs: Tensor | np.ndarray, attributes: dict[str, Tensor], permutations: int = 20, seed: int = 0
) -> list[dict]:
    """The best head for every value of every attribute, chosen on one half of the images and scored on the other.

    Head and sign are chosen on the first half. ``null`` is the largest held-out AUC over ``permutations`` shuffled
    copies of the attribute: what choosing the best of K heads finds in noise. Attributes with one value only, or with a
    value that is missing from a half, are left out.

    Args:
        outputs: (N, K), on any monotone scale.
        attributes: name -> value numbers (N,).

    Returns:
        One row per value: ``attribute``, ``value``, ``head``, ``auc`` (held out), ``null``, ``own head``, ``own auc``.
        The own heads are the best choice that gives every value of every attribute another head (Hungarian match
        on the first half). If there are fewer heads than values, both are None for the values left over.

    Raises:
        ValueError: if outputs and attributes differ in number.
    """
    generator = np.random.default_rng(seed)
    halves, held_out = in_halves(outputs, generator)
    rows, chosen_on, scored_on = [], [], []
    for name, values in attributes.items():
        values = np.asarray(values)
        if len(values) != len(outputs):
            raise ValueError(f"{len(values)} values of {name} for {len(outputs)} images")
        known = np.unique(values)
        if len(known) < 2 or any(len(np.unique(values[half])) < len(known) for half in halves):
            continue
        for value in known:
            first, second = held_out(values == value)
            head, null = int(first.argmax()), 0.0
            for _ in range(permutations):
                a, b = held_out(shuffled(values, halves, generator) == value)
                null = max(null, float(b[a.argmax()]))
            row = {"attribute": name, "value": int(value), "head": head, "auc": float(second[head]), "null": null}
            rows.append(row | {"own head": None, "own auc": None})
            chosen_on.append(first)
            scored_on.append(second)
    if rows:
        for row, head in zip(*linear_sum_assignment(-np.array(chosen_on)), strict=True):
            rows[row] |= {"own head": int(head), "own auc": float(scored_on[row][head])}
    return rows


def distinct_heads(outputs: Tensor, count: int = 8) -> list[int]:
    """The heads to show: those that vary most, each different from the others. It needs no labels or attributes.

    outputs: (N, K). Heads are ranked by the standard deviation of their outputs; see :func:`without_repeats`.
    """
    centred = outputs - outputs.mean(0)
    spread = centred.norm(dim=0)
    correlation = (centred.T @ centred) / (spread.outer(spread) + 1e-12)
    return without_repeats(spread.numpy(), correlation.numpy(), count)


def without_repeats(score: np.ndarray, correlation: np.ndarray, count: int) -> list[int]:
    """Up to ``count`` heads with the highest score, the best first, without those that repeat one already taken.

    score: (K,); heads with a score of 0 or less are left out. correlation: (K, K), of every two heads' outputs; a head
    repeats another where ``|r| >= REPEATS``.
    """
    taken: list[int] = []
    for head in np.argsort(-score, kind="stable").tolist():
        if score[head] > 0 and all(abs(correlation[head, other]) < REPEATS for other in taken):
            taken.append(head)
        if len(taken) == count:
            break
    return taken


def gallery(outputs: Tensor, heads: list[int], count: int = 6) -> dict[int, tuple[Tensor, Tensor]]:
    """For each head the numbers of the ``count`` images with its largest outputs, and with its smallest."""
    return {
        head: (outputs[:, head].topk(count).indices, outputs[:, head].topk(count, largest=False).indices)
        for head in heads
    }


def attribute_auc(
    outputs: Tensor | np.ndarray, attributes: dict[str, Tensor], permutations: int = 20, seed: int = 0
) -> tuple[np.ndarray, float]:
    """How well every head predicts every attribute, and the best that noise does.

    For each head and attribute, the value and the sign are chosen on one half of the images. The AUC for that value is
    taken on the other half, so it is 0.5 on average for an uninformative head.

    Returns:
        The AUC (K, A), and the largest over all heads, attributes and ``permutations`` shuffled copies of the
        attributes. So in noise the chance that any head exceeds this bar is about 1 in ``permutations`` + 1.

    Raises:
        ValueError: if a value is missing from a half.
    """
    generator = np.random.default_rng(seed)
    halves, held_out = in_halves(outputs, generator)

    def known(values: np.ndarray) -> np.ndarray:
        found = [held_out(values == value) for value in np.unique(values)]
        first, second = (np.array(part) for part in zip(*found, strict=True))
        return np.take_along_axis(second, first.argmax(0)[None], 0)[0]

    truth = [np.asarray(values) for values in attributes.values()]
    if any(len(np.unique(values[half])) < len(np.unique(values)) for values in truth for half in halves):
        raise ValueError("a value of an attribute is missing from a half; there are too few images of it")
    noise = [known(shuffled(values, halves, generator)).max() for values in truth for _ in range(permutations)]
    return np.stack([known(values) for values in truth], 1), float(max(noise, default=0.5))


def fraction_encoding_one(auc: np.ndarray, bar: float) -> float:
    """The fraction of heads whose AUC (K, A), see :func:`attribute_auc`, exceeds the bar for exactly one attribute."""
    return float(((auc > bar).sum(1) == 1).mean())
