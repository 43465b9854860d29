"""What each feature head learned: its AUC for known attributes, and the images it answers to most and least."""

import numpy as np
from scipy.optimize import linear_sum_assignment
from scipy.stats import rankdata
from sklearn.metrics import mutual_info_score
from torch import Tensor


def rank_auc(outputs: np.ndarray, is_value: np.ndarray) -> np.ndarray:
    """The chance that a head answers more to an image with the value than to one without (Mann-Whitney, ties half).

    outputs: (N, K); is_value: bool (N,). Returns (K,): 0.5 for no knowledge, 1 or 0 for full knowledge.

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
    outputs = np.asarray(outputs, dtype=np.float32)
    generator = np.random.default_rng(seed)
    order = generator.permutation(len(outputs))
    choose, score = order[: len(order) // 2], order[len(order) // 2 :]
    ranks = [rankdata(outputs[half], axis=0) for half in (choose, score)]

    def held_out(is_value):
        """AUC of each head: on the first half, folded to 0.5-1, and on the second half with the sign of the first."""
        first, second = (auc_of_ranks(r, is_value[half]) for r, half in zip(ranks, (choose, score), strict=True))
        return np.maximum(first, 1 - first), np.where(first >= 0.5, second, 1 - second)

    rows, chosen_on, scored_on = [], [], []
    for name, values in attributes.items():
        values = np.asarray(values)
        if len(values) != len(outputs):
            raise ValueError(f"{len(values)} values of {name} for {len(outputs)} images")
        known = np.unique(values)
        if len(known) < 2 or any(len(np.unique(values[half])) < len(known) for half in (choose, score)):
            continue
        for value in known:
            first, second = held_out(values == value)
            head, null = int(first.argmax()), 0.0
            for _ in range(permutations):
                shuffled = values.copy()
                for half in (choose, score):
                    shuffled[half] = generator.permutation(values[half])
                a, b = held_out(shuffled == value)
                null = max(null, float(b[a.argmax()]))
            row = {"attribute": name, "value": int(value), "head": head, "auc": float(second[head]), "null": null}
            rows.append(row | {"own head": None, "own auc": None})
            chosen_on.append(first)
            scored_on.append(second)
    if rows:
        for row, head in zip(*linear_sum_assignment(-np.array(chosen_on)), strict=True):
            rows[row] |= {"own head": int(head), "own auc": float(scored_on[row][head])}
    return rows


def telling_heads(outputs: Tensor, count: int = 8) -> list[int]:
    """The heads to show: those with the most decided answers, each different from the others.

    outputs: (N, K). A head's decidedness is the standard deviation of its answers. A head is skipped if its correlation
    with a head already taken exceeds 0.7. Labels and attributes are not used.
    """
    centred = outputs - outputs.mean(0)
    spread = centred.norm(dim=0)
    correlation = ((centred.T @ centred) / (spread.outer(spread) + 1e-12)).abs()
    taken: list[int] = []
    for head in spread.argsort(descending=True).tolist():
        if all(correlation[head, other] < 0.7 for other in taken):
            taken.append(head)
        if len(taken) == count:
            break
    return taken


def gallery(outputs: Tensor, heads: list[int], count: int = 6) -> dict[int, tuple[Tensor, Tensor]]:
    """For each head the numbers of the ``count`` images that it answers to most, and of those it answers to least."""
    return {
        head: (outputs[:, head].topk(count).indices, outputs[:, head].topk(count, largest=False).indices)
        for head in heads
    }


def mutual_information_gap(outputs: Tensor | np.ndarray, attributes: dict[str, Tensor], bins: int = 20) -> float:
    """MIG (Chen et al., 2018): how much more the best head knows about an attribute than the second best, 0-1.

    outputs: (N, K), K at least 2; the answers of each head are cut into ``bins`` of equal count. Mutual information is
    divided by the attribute's entropy. Returns the mean over the attributes that have more than one value.
    """
    outputs = np.asarray(outputs)
    if outputs.shape[1] < 2:
        raise ValueError("the gap is between two heads; there is 1")
    edges = np.quantile(outputs, np.linspace(0, 1, bins + 1)[1:-1], axis=0)
    binned = [np.searchsorted(edges[:, k], outputs[:, k]) for k in range(outputs.shape[1])]
    gaps = []
    for values in map(np.asarray, attributes.values()):
        entropy = mutual_info_score(values, values)
        if entropy > 0:
            second, first = np.sort([mutual_info_score(values, head) for head in binned])[-2:]
            gaps.append((first - second) / entropy)
    return float(np.mean(gaps)) if gaps else 0.0
