"""What each feature head learned: against known attributes, and by the images it answers to most and least."""

import numpy as np
from scipy.optimize import linear_sum_assignment
from scipy.stats import rankdata
from torch import Tensor


def rank_auc(outputs: np.ndarray, is_value: np.ndarray) -> np.ndarray:
    """How well each head ranks the images of one attribute value before all others, or after them.

    outputs: (N, K); is_value: bool (N,). Returns max(AUC, 1-AUC), (K,), 0.5-1; ties count half (Mann-Whitney).
    """
    positives = int(is_value.sum())
    negatives = len(is_value) - positives
    if not positives or not negatives:
        raise ValueError("rank_auc needs images with the value and without it")
    ranks = rankdata(outputs, axis=0)
    auc = (ranks[is_value].sum(0) - positives * (positives + 1) / 2) / (positives * negatives)
    return np.maximum(auc, 1 - auc)


def attribute_scores(
    outputs: Tensor | np.ndarray, attributes: dict[str, Tensor], permutations: int = 20, seed: int = 0
) -> list[dict]:
    """The best head for every value of every attribute, chosen on one half of the images and scored on the other.

    Choosing the best of K heads finds something even in noise; ``null`` shows how much: the same procedure with the
    attribute's values permuted, the largest held-out AUC of ``permutations`` tries.

    Args:
        outputs: (N, K), scores of any monotone scale.
        attributes: name -> value numbers (N,).

    Returns:
        One row a value: ``attribute``, ``value``, ``head``, ``auc`` (held out), ``null``, and ``own head``: the head
        when no two values of all attributes may share one (Hungarian match on the first half), with its ``own auc``.

    Raises:
        ValueError: where outputs and attributes differ in number, or a value is missing from a half.
    """
    outputs = np.asarray(outputs, dtype=np.float32)
    generator = np.random.default_rng(seed)
    order = generator.permutation(len(outputs))
    choose, score = order[: len(order) // 2], order[len(order) // 2 :]
    rows, chosen_on = [], []
    for name, values in attributes.items():
        values = np.asarray(values)
        if len(values) != len(outputs):
            raise ValueError(f"{len(values)} values of {name} for {len(outputs)} images")
        for value in np.unique(values):
            is_value = values == value
            first, second = rank_auc(outputs[choose], is_value[choose]), rank_auc(outputs[score], is_value[score])
            null = 0.5
            for _ in range(permutations):
                shuffled = generator.permutation(is_value)
                head = rank_auc(outputs[choose], shuffled[choose]).argmax()
                null = max(null, rank_auc(outputs[score][:, [head]], shuffled[score])[0])
            head = int(first.argmax())
            rows.append({"attribute": name, "value": int(value), "head": head, "auc": float(second[head])})
            rows[-1] |= {"null": float(null), "held_out": second}
            chosen_on.append(first)
    for row, head in zip(*linear_sum_assignment(-np.array(chosen_on)), strict=True):
        rows[row] |= {"own head": int(head), "own auc": float(rows[row]["held_out"][head])}
    for row in rows:
        del row["held_out"]
    return rows


def telling_heads(outputs: Tensor, count: int = 8) -> list[int]:
    """The heads to show: those that answer most decidedly, without two that say the same.

    outputs: (N, K). A head's decidedness is the standard deviation of its answers; one whose correlation with a head
    already taken exceeds 0.7 is passed over. No label or attribute is looked at.
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
    """For each head the numbers of the ``count`` images it answers to most, and of those it answers to least."""
    return {
        head: (outputs[:, head].topk(count).indices, outputs[:, head].topk(count, largest=False).indices)
        for head in heads
    }


def mutual_information_gap(outputs: Tensor | np.ndarray, attributes: dict[str, Tensor], bins: int = 20) -> float:
    """MIG (Chen et al., 2018): by how much the best head knows an attribute better than the second best, 0-1.

    outputs: (N, K), cut into ``bins`` of equal count a head; mutual information is divided by the attribute's entropy.
    """
    from sklearn.metrics import mutual_info_score

    outputs = np.asarray(outputs)
    edges = np.quantile(outputs, np.linspace(0, 1, bins + 1)[1:-1], axis=0)
    binned = np.stack([np.searchsorted(edges[:, k], outputs[:, k]) for k in range(outputs.shape[1])])
    gaps = []
    for values in attributes.values():
        values = np.asarray(values)
        share = np.bincount(values) / len(values)
        entropy = -(share[share > 0] * np.log(share[share > 0])).sum()
        information = np.sort([mutual_info_score(values, head) for head in binned])
        gaps.append((information[-1] - information[-2]) / entropy)
    return float(np.mean(gaps))
